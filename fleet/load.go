package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"switchboard/options"
)

// TestSuffix ends the names of files that hold routing tests beside a fleet's
// configuration; they define no workers.
const TestSuffix = "_test.yaml"

// Load reads the workers of files and directories (all .yaml and .yml in them)
// and checks them together. The error joins everything that is wrong.
func (c Classes) Load(paths ...string) ([]*Definition, error) {
	files, err := Files(paths...)
	if err != nil {
		return nil, err
	}
	return c.load(files, c.reader())
}

// LoadFS is Load for a directory of a file system, such as an embedded one.
func (c Classes) LoadFS(files fs.FS, dir string) ([]*Definition, error) {
	paths, err := fs.Glob(files, dir+"/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	paths = slices.DeleteFunc(paths, func(path string) bool { return strings.HasSuffix(path, TestSuffix) })
	return c.load(paths, func(path string) (*options.Document, error) {
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, fmt.Errorf("reading configuration: %w", err)
		}
		return options.Parse(path, text, os.LookupEnv)
	})
}

func (c Classes) reader() func(string) (*options.Document, error) {
	if c.WithoutSecrets {
		return options.Inspect
	}
	return options.Read
}

// define reads and defines the worker of one file.
func (c Classes) define(path string) (*Definition, error) {
	doc, err := c.reader()(path)
	if err != nil {
		return nil, err
	}
	return c.Define(doc)
}

func (c Classes) load(paths []string, read func(string) (*options.Document, error)) ([]*Definition, error) {
	var defs []*Definition
	var errs []error
	for _, path := range paths {
		doc, err := read(path)
		if err == nil {
			var d *Definition
			if d, err = c.Define(doc); err == nil {
				defs = append(defs, d)
				continue
			}
		}
		errs = append(errs, err)
	}
	errs = append(errs, Check(defs))
	return defs, errors.Join(errs...)
}

// Files lists the configuration files of files and directories.
func Files(paths ...string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("reading configuration: %w", err)
		}
		if !info.IsDir() {
			// A shell's * names a directory's README and routing tests, too.
			if len(paths) == 1 || !strings.HasSuffix(path, ".md") && !strings.HasSuffix(path, TestSuffix) {
				files = append(files, path)
			}
			continue
		}
		found, err := filesIn(path)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func filesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		isYAML := strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
		if isYAML && !strings.HasSuffix(name, TestSuffix) && !strings.HasPrefix(name, ".") {
			files = append(files, filepath.Join(dir, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: there is no .yaml file in this directory", dir)
	}
	return files, nil
}
