package reference

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// Sources finds the comments of types in the source of a module.
type Sources struct {
	Root string // its directory

	read map[string]map[string]comments // by package and type
}

type comments struct {
	doc    string
	fields map[string]string
}

// of are a type's comments.
func (s *Sources) of(t reflect.Type) (comments, error) {
	if s.read == nil {
		s.read = map[string]map[string]comments{}
	}
	types, known := s.read[t.PkgPath()]
	if !known {
		var err error
		if types, err = s.parse(t.PkgPath()); err != nil {
			return comments{}, err
		}
		s.read[t.PkgPath()] = types
	}
	found, known := types[t.Name()]
	if !known {
		return comments{}, fmt.Errorf("the source of %s has no type %s", t.PkgPath(), t.Name())
	}
	return found, nil
}

func (s *Sources) parse(pkg string) (map[string]comments, error) {
	module := strings.TrimSuffix(reflect.TypeFor[Sources]().PkgPath(), "internal/reference")
	below, ours := strings.CutPrefix(pkg, module)
	if !ours {
		return nil, fmt.Errorf("package %s is not below %s", pkg, module)
	}
	dir := filepath.Join(s.Root, filepath.FromSlash(below))
	files, err := fs.Glob(os.DirFS(dir), "*.go")
	if err != nil {
		return nil, fmt.Errorf("listing the source of %s: %w", pkg, err)
	}
	types := map[string]comments{}
	for _, name := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("reading the source of %s: %w", pkg, err)
		}
		for _, decl := range tree.Decls {
			if group, is := decl.(*ast.GenDecl); is && group.Tok == token.TYPE {
				readTypes(group, types)
			}
		}
	}
	return types, nil
}

func readTypes(decl *ast.GenDecl, types map[string]comments) {
	for _, spec := range decl.Specs {
		spec := spec.(*ast.TypeSpec)
		c := comments{doc: textOf(spec.Doc), fields: map[string]string{}}
		if c.doc == "" && len(decl.Specs) == 1 {
			c.doc = textOf(decl.Doc)
		}
		if structure, is := spec.Type.(*ast.StructType); is {
			for _, field := range structure.Fields.List {
				for _, name := range field.Names {
					c.fields[name.Name] = textOf(field.Doc)
				}
			}
		}
		types[spec.Name.Name] = c
	}
}

// textOf is a comment's text in one line; paragraphs do not fit in a table.
func textOf(group *ast.CommentGroup) string {
	return strings.Join(strings.Fields(group.Text()), " ")
}
