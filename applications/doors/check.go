package doors

import (
	"net/http"
	"slices"

	"switchboard/options"
)

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
