package doors

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"switchboard/options"
)

// checkPath refuses what http.ServeMux takes for no path, or for a pattern.
func checkPath(text, key string) error {
	if strings.ContainsAny(text, "{} ") || path.Clean("/"+text) != "/"+strings.Trim(text, "/") {
		return options.Fieldf(key, "is %q; write a path", text)
	}
	return nil
}

func checkMethod(method, key string) error {
	if slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodGet}, method) {
		return nil
	}
	return options.Fieldf(key, "is %q; write POST, PUT or GET", method)
}

func checkAuth(method, key string) error {
	if method == authBasic {
		return nil
	}
	return options.Fieldf(key, "is %q; basic is the only way", method)
}
