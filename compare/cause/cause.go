// Package cause is the catalogue of why two builds of one thing differ.
//
// An entry says what shows the cause, which input of the build is behind it,
// and what a project does about it. docs/causes.md is made from it.
package cause

import "slices"

// Finding is one thing in which two files, A and B, differ.
type Finding struct {
	Where  string // what in the file: "line 3", ".comment", "functions"
	Cause  string // a name of the catalogue, "" when unexplained, or [Consequence]
	Sure   bool   // undoing the cause makes the bytes equal
	Detail string // in words
	A, B   string // what stands on both sides, when it is short
}

// Consequence marks what follows from other differences: RECORD lines,
// addresses that moved.
const Consequence = "consequence"

// Cause is an entry of the catalogue.
type Cause struct {
	Name   string
	Shows  string // the evidence
	Sure   string // when it is more than likely
	Input  string // the input of the build behind it
	Fix    string // for the project
	Try    string // for the rebuilder; "" when nothing but the recipe helps
	See    []string
	Weight int // of two causes with as many differences the heavier is named first
}

// Weights: what explains others stands before them.
const (
	another = 100 // another release, another compiler: all else may follow
	inputs  = 80
	content = 60
	form    = 40
	pack    = 20
	derived = 10
)

const reproducible = "https://reproducible-builds.org/docs/"

// Catalogue is all causes, sorted by name.
func Catalogue() []Cause { return slices.Clone(catalogue) }

// Find is the entry of that name.
func Find(name string) (Cause, bool) {
	i, ok := slices.BinarySearchFunc(catalogue, name, func(c Cause, name string) int {
		switch {
		case c.Name < name:
			return -1
		case c.Name > name:
			return 1
		}
		return 0
	})
	if !ok {
		return Cause{}, false
	}
	return catalogue[i], true
}
