package infer

import (
	"slices"
	"testing"
)

// What CPython 3.9 and 3.12 print for hash() and list(set()) under PYTHONHASHSEED.
var pythonSets = []struct {
	sip13 bool
	seed  uint32
	hash  uint64 // of "requests>=2.0"
	order []string
}{
	{false, 0, 14572550603908954940, []string{"redis>=2.0", "pika>=1.0,<2.0", "a", "watchdog", "gevent>=1.1", "pylibmc", "prometheus-client"}},
	{false, 1, 11748851101466668992, []string{"a", "pika>=1.0,<2.0", "redis>=2.0", "gevent>=1.1", "pylibmc", "watchdog", "prometheus-client"}},
	{false, 42, 14068770239476038148, []string{"watchdog", "a", "pika>=1.0,<2.0", "prometheus-client", "redis>=2.0", "gevent>=1.1", "pylibmc"}},
	{false, 123456, 10392075673283470771, []string{"prometheus-client", "watchdog", "pylibmc", "gevent>=1.1", "pika>=1.0,<2.0", "redis>=2.0", "a"}},
	{true, 0, 14845969657068370205, []string{"pylibmc", "pika>=1.0,<2.0", "redis>=2.0", "gevent>=1.1", "a", "prometheus-client", "watchdog"}},
	{true, 1, 11164723309485901717, []string{"pylibmc", "pika>=1.0,<2.0", "gevent>=1.1", "watchdog", "prometheus-client", "a", "redis>=2.0"}},
	{true, 42, 15968691353026791199, []string{"watchdog", "gevent>=1.1", "pika>=1.0,<2.0", "prometheus-client", "redis>=2.0", "a", "pylibmc"}},
	{true, 123456, 5462585830673949595, []string{"redis>=2.0", "gevent>=1.1", "prometheus-client", "pika>=1.0,<2.0", "watchdog", "a", "pylibmc"}},
}

func TestSetOrder(t *testing.T) {
	inserted := []string{"pika>=1.0,<2.0", "redis>=2.0", "watchdog", "prometheus-client", "pylibmc", "gevent>=1.1", "a"}
	for _, test := range pythonSets {
		k0, k1 := hashKey(test.seed)
		if got := sipHash("requests>=2.0", k0, k1, test.sip13); got != test.hash {
			t.Errorf("seed %d: hash %d, want %d", test.seed, got, test.hash)
		}
		if got := setOrder(inserted, test.seed, test.sip13); !slices.Equal(got, test.order) {
			t.Errorf("seed %d:\n%q, want\n%q", test.seed, got, test.order)
		}
	}
}

func TestFindSeed(t *testing.T) {
	g := setGroup{inserted: []string{"a", "b", "c", "d", "e"}, published: []string{"e", "a", "d", "b", "c"}}
	seed, ok := findSeed([]setGroup{g}, true)
	if !ok || !slices.Equal(setOrder(g.inserted, seed, true), g.published) {
		t.Errorf("seed %d, %v", seed, ok)
	}
}
