package report_test

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/report"
)

type schema struct {
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	AnyOf      []*schema          `json:"anyOf"`
}

// The published schema names just the fields that a report has, and requires those that are always there.
func TestSchema(t *testing.T) {
	for name, typ := range map[string]reflect.Type{"report": reflect.TypeFor[report.Report](), "diff": reflect.TypeFor[report.Diff]()} {
		data, err := os.ReadFile("../docs/formats/" + name + ".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		var s schema
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		check(t, name, &s, typ)
	}
}

func check(t *testing.T, where string, s *schema, typ reflect.Type) {
	t.Helper()
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		if typ.Kind() == reflect.Slice {
			s = s.Items
		}
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return
	}
	if len(s.AnyOf) > 0 {
		s = s.AnyOf[0]
	}
	var names, required []string
	for f := range typ.Fields() {
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		names = append(names, name)
		if option != "omitempty" {
			required = append(required, name)
		}
		if sub := s.Properties[name]; sub != nil {
			check(t, where+"."+name, sub, f.Type)
		}
	}
	slices.Sort(names)
	slices.Sort(required)
	if have := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(have, names) {
		t.Errorf("%s: schema has %q, the type %q", where, have, names)
	}
	have := slices.Clone(s.Required)
	slices.Sort(have)
	if !slices.Equal(have, required) {
		t.Errorf("%s: schema requires %q, the type always has %q", where, have, required)
	}
}
