//go:build !linux

package store

func syncTree(string) error { return nil }
