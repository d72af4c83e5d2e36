// Package source moves a developer's folder to the builder: it packs a folder into an archive, receives such an archive
// from a stranger, unpacks it safely, and says early when a folder holds no Go program.
//
// An archive is a gzip-compressed tar of files and links, sorted by name, with times, owners and modes taken out. Its
// digest is the SHA-256 of the uncompressed tar: equal folders have equal digests wherever they lie and whoever packs
// them. What .gitignore files name stays out, those in the folder and those above it up to the root of its git repository;
// so do .git, .m3o and empty folders. .m3oignore files, in the same places, add patterns for the upload alone. A folder that
// is ignored itself is packed, because it was named. Files that git tracks although they are ignored stay out too: the files
// decide, not a repository, which need not be there.
//
// In the blob store a source lies with the project that uploaded it. Knowing a digest is no possession: whoever wants the source of
// another project must have its bytes, and every upload is checked to be what it says, also when it is there already.
//
// The package does not build anything, nor does it know what a release is. It imports blob and fault; the command line,
// the API and the builder import it.
package source
