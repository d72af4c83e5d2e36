// Package source moves a developer's folder to the builder: it packs a folder into an archive, receives such an archive
// from a stranger, unpacks it safely, and says early when a folder holds no Go program.
//
// An archive is a gzip-compressed tar of files and links, sorted by name, with times, owners and modes taken out. Its
// digest is the SHA-256 of the uncompressed tar: equal folders have equal digests wherever they lie and whoever packs
// them. What .gitignore files inside the folder name stays out, and so do .git, .m3o and empty folders; .m3oignore files
// add patterns for the upload alone. Files that git tracks although they are ignored stay out too: the files decide, not
// a repository, which need not be there.
//
// The package does not build anything, nor does it know what a release is. It imports blob and fault; the command line,
// the API and the builder import it.
package source
