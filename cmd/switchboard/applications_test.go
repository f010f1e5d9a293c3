package main

import (
	"testing"

	"switchboard/operate/explain"
)

// The conversations with the applications of configs are as their files say.
func TestConversations(t *testing.T) {
	for _, dir := range []string{"applications"} {
		files, err := explain.SpecFiles("../../configs/" + dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			spec, err := explain.ReadSpec(file)
			if err != nil {
				t.Fatal(err)
			}
			results, err := spec.Run(t.Context(), classes())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if !r.Passed {
					t.Errorf("%s: %s: %+v", r.At, r.Name, r.Problems)
				}
			}
		}
	}
}
