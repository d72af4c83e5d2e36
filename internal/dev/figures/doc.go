// Package figures is how benchmarks print what they measured: tables, quantiles, and how busy the machine was beside each round. What is
// measured, and against what, is the benchmarks' own (internal/dev/spine, starter).
//
// Tests alone import it.
package figures
