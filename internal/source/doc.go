// Package source moves a developer's folder to the builder: it packs a folder into an archive, receives such an archive
// from a stranger, unpacks it safely, and says early when go build would not make of it what it makes on the developer's machine.
//
// An archive is a gzip-compressed tar of files and links, sorted by name, with times, owners and modes taken out. Its
// digest is the SHA-256 of the uncompressed tar: equal folders have equal digests wherever they lie and whoever packs
// them. What .gitignore files name stays out, those in the folder and those above it up to the root of its git repository;
// so do .git, .m3o and empty folders. .m3oignore files, in the same places, add patterns for the upload alone. A folder that
// is ignored itself is packed, because it was named. Files that git tracks although they are ignored stay out too: the files
// decide, not a repository, which need not be there.
//
// What is packed for a folder is what its package is built with (Locate): the folder of the go.work in force, else of the go.mod. Check looks
// at the list of what will be packed, and CheckGo at a folder that was unpacked, with one code and so one verdict: the main package, the
// modules of the source and what takes their place, vendored packages, imports within the source, embedded files, checksums and the Go
// version. What it refuses go build would refuse there; what it does not see the compiler says. Where ignore files are the reason it
// names the line, and the line that undoes it. A go.work that .m3oignore leaves out is meant to be: the source is built without. What a
// check costs grows with the size of a source alone, whatever it says: builders check the sources of strangers.
//
// In the blob store a source lies with the project that uploaded it. Knowing a digest is no possession: whoever wants the source of
// another project must have its bytes, and every upload is checked to be what it says, also when it is there already.
//
// The package does not build anything, nor does it know what a release is. It imports blob and fault; the command line,
// the API and the builder import it.
package source
