package cli

import (
	"strings"
	"testing"
)

// What is exported of a list per address is imported to the same list, our own addresses
// included.
func TestOptOutsPerAddress(t *testing.T) {
	s := newSender(t)
	s.must("migrate")
	s.must("optouts", "add", "--our", "8181", "+27831234567")
	s.must("optouts", "add", "--our", "8282", "+27831234567", "anna@example.org")
	exported := s.must("optouts", "export")
	if want := "address,our_address\n27831234567,8181\n27831234567,8282\nanna@example.org,8282\n"; exported != want {
		t.Errorf("exported %q, want %q", exported, want)
	}
	s.must("optouts", "import", "--new", "--list", "copy", s.file("people.csv", exported))
	if again := s.must("optouts", "export", "--list", "copy"); again != exported {
		t.Errorf("the copy is %q, want %q", again, exported)
	}
	s.must("optouts", "remove", "--our", "8181", "+27831234567")
	if left := s.must("optouts", "export"); strings.Contains(left, "8181") || !strings.Contains(left, "27831234567,8282") {
		t.Errorf("removing one left %q", left)
	}
	s.must("optouts", "import", "--new", "--list", "plain", s.file("plain.csv", "address,name\n+27831234567,Anna\n"))
	if plain := s.must("optouts", "export", "--list", "plain"); plain != "27831234567\n" {
		t.Errorf("a column of names was taken for our addresses: %q", plain)
	}
}
