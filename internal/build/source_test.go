package build

import (
	"testing"
	"time"

	"github.com/truewheel/truewheel/recipe"
)

func TestSourceTimeZones(t *testing.T) {
	stored := func(month time.Month) time.Time { return time.Date(2023, month, 10, 12, 0, 0, 0, time.UTC) }
	for _, test := range []struct {
		zone  string
		month time.Month
		want  int // hour in UTC
	}{
		{"", 1, 12},
		{"LOC-2", 1, 10},
		{"LOC+7", 1, 19},
		{"PST8PDT,M3.2.0,M11.1.0", 1, 20},
		{"PST8PDT,M3.2.0,M11.1.0", 7, 19},
		{"CET-1CEST,M3.5.0,M10.5.0/3", 1, 11},
		{"CET-1CEST,M3.5.0,M10.5.0/3", 7, 10},
	} {
		zone, err := location(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := sourceTime(recipe.Recipe{}, true, zone, stored(test.month)).UTC(); got.Hour() != test.want {
			t.Errorf("%q in month %d: %s, want hour %d", test.zone, test.month, got, test.want)
		}
	}
}

func TestSourceModes(t *testing.T) {
	for _, test := range []struct {
		modes         string
		umask, stored uint32
		want          uint32
	}{
		{"", 0o022, 0o664, 0o644},
		{"umask", 0o002, 0o666, 0o664},
		{"raw", 0o022, 0o664, 0o664},
		{"raw", 0o022, 0o600, 0o600},
		{"data", 0o002, 0o775, 0o755},
		{"data", 0o002, 0o474, 0o644},
	} {
		if got := sourceMode(recipe.Recipe{Umask: test.umask, SourceModes: test.modes}, test.stored, false); got != test.want {
			t.Errorf("%s of %04o with umask %04o: %04o, want %04o", test.modes, test.stored, test.umask, got, test.want)
		}
	}
}
