package sms

import "strings"

// Septets counts what a text takes, and says whether all of it is in the GSM 7-bit alphabet.
func Septets(text string) (n int, all bool) {
	all = true
	for _, r := range text {
		all = all && strings.ContainsRune(single+double, r)
	}
	return septets(text), all
}
