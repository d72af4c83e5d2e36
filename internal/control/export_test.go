package control

// Translate is translate, for tests.
var Translate = translate
