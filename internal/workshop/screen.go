package main

import (
	"fmt"
	"io"
	"time"
)

// width is how much of a line is shown on a terminal: what is wrapped could not be written over.
const width = 79

// screen is where progress is shown: one line that is written over on a terminal, a line now and then elsewhere.
type screen struct {
	out   io.Writer
	live  bool
	every time.Duration
	shown bool // whether a live line is there now
	began bool // whether what is built was said
}

// show says how far it is. The first time it says in full what is built.
func (s *screen) show(about, progress string) {
	s.clear()
	if !s.began {
		fmt.Fprintln(s.out, about)
		s.began = true
	}
	if !s.live {
		fmt.Fprintln(s.out, "  "+progress)
		return
	}
	line := []rune("  " + progress)
	fmt.Fprint(s.out, string(line[:min(len(line), width)]))
	s.shown = true
}

// clear takes the live line away, so that something else can be said.
func (s *screen) clear() {
	if s.shown {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.shown = false
	}
}

func (s *screen) say(line string) {
	s.clear()
	fmt.Fprintln(s.out, line)
}
