// Package dev is `m3o dev`: the whole platform on one machine, with what production has outside built in: Temporal on SQLite
// files, an OCI registry on disk, and the sandbox clouds in a process of their own.
//
// It prepares, starts, watches and stops; it contains nothing that production runs. The processes of the platform are given
// to it by the starter, so that the same code runs here and there with other settings. All state is in one data directory.
package dev
