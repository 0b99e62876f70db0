// Package truewheel is the root of the module; docs/architecture.md is its map.
package truewheel
