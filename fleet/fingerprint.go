package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"switchboard/options"
)

// fingerprint tells one state of the configuration files from another: by their
// text, since a symlink swap as Kubernetes makes it, or two writes within one
// tick of the file system's clock, need not show in a file's times.
func fingerprint(paths []string) string {
	sum := sha256.New()
	files, err := Files(paths...)
	if err != nil {
		_, _ = fmt.Fprintln(sum, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		_, _ = fmt.Fprintln(sum, path, len(text), err)
		_, _ = sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// outdated says that a file was edited since its definition was made, as may
// happen while the process waits for its broker.
func outdated(defs []*Definition) bool {
	for _, d := range defs {
		if doc, err := options.Read(d.Path); err != nil || doc.Hash() != d.doc.Hash() {
			return true
		}
	}
	return false
}
