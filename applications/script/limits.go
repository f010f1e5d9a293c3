package script

import (
	"context"
	"fmt"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/dlclark/regexp2/v2"
	"github.com/dop251/goja"
)

// heapInUse is the bytes of objects in the heap, those that nobody uses any more
// but are not swept yet among them.
const heapInUse = "/memory/classes/heap/objects:bytes"

// watchInterval is how often a script's memory is looked at.
const watchInterval = 2 * time.Millisecond

// watch stops a script when ctx ends, or when the heap grows by more than limit
// while it runs. The heap is the process's: a script that runs for less than
// watchInterval is not looked at, and what other workers of the process allocate
// meanwhile counts, too. The returned function ends the watch.
func watch(ctx context.Context, vm *goja.Runtime, limit int64) (stop func()) {
	before := heap()
	ended := make(chan struct{})
	left := make(chan struct{})
	go func() {
		defer close(left)
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ctx.Done():
				vm.Interrupt(errStopped{"it took too long (timeout)"})
				return
			case <-tick.C:
			}
			if now := heap(); now > before+limit {
				vm.Interrupt(errStopped{fmt.Sprintf("it took more than %d bytes of memory (max_memory)", limit)})
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-left
	}
}

// regexpTimeout is how long a match may take of a pattern with back-references or
// look-around: others take time that follows from their text's length. It is no
// match then.
const regexpTimeout = 100 * time.Millisecond

var boundRegexps = sync.OnceFunc(func() { regexp2.DefaultMatchTimeout = regexpTimeout })

func heap() int64 {
	sample := []metrics.Sample{{Name: heapInUse}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// maxNesting is how deep JSON may be that a script reads.
const maxNesting = 500

// tooDeep says whether JSON is nested too deep: reading it would recurse as deep.
func tooDeep(text string) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '[' || c == '{'):
			if depth++; depth > maxNesting {
				return true
			}
		case !quoted && (c == ']' || c == '}'):
			depth--
		}
	}
	return false
}

// limits bounds what takes unbounded memory or time in one step, where no watch can
// stop it: functions that build a value far longer than their arguments, and those
// that recurse. It is called with tooDeep.
var limits = goja.MustCompile("limits", `(function (tooDeep) {
	var most = 1 << 20, longestPattern = 1000, call = Reflect.apply, isArray = Array.isArray;
	function replace(object, name, value) {
		Object.defineProperty(object, name, {value: value, writable: false, configurable: false, enumerable: false});
	}
	function refuse(name) {
		throw new RangeError(String(name) + " would take more than " + most + " characters or items");
	}
	function bounded(object, name, size) {
		var original = object[name];
		replace(object, name, function () {
			if (!(call(size, this, arguments) <= most)) {
				refuse(name);
			}
			return call(original, this, arguments);
		});
	}
	function len(list) { return list == null ? 0 : +list.length || 0; }
	function sum(self, list, size) {
		var n = size(self);
		for (var i = 0; i < list.length; i++) n += size(list[i]);
		return n;
	}
	// What replacing makes: $&, $`+"`"+` and $' are each as long as the text, at most.
	function replaced(text, by) {
		var n = String(text).length;
		if (typeof by === "function") return n;
		by = String(by);
		return n + (n + 1) * (by.indexOf("$") < 0 ? by.length : by.length * (n + 1));
	}
	function pattern(p) {
		if (!(p instanceof Pattern) && p !== undefined && String(p).length > longestPattern) {
			throw new RangeError("a pattern may have at most " + longestPattern + " characters");
		}
	}
	var Pattern = RegExp;
	RegExp = function (p, flags) {
		pattern(p);
		return new Pattern(p, flags);
	};
	RegExp.prototype = Pattern.prototype;
	replace(Pattern.prototype, "constructor", RegExp);
	delete Pattern.prototype.compile;
	function matched(p) {
		pattern(p);
		return String(this).length;
	}
	var sizes = {
		match: matched, matchAll: matched, search: matched,
		repeat: function (n) { return String(this).length * n; },
		padStart: function (n) { return Math.max(String(this).length, +n); },
		padEnd: function (n) { return Math.max(String(this).length, +n); },
		concat: function () { return sum(this, arguments, function (v) { return String(v).length; }); },
		replace: function (_, by) { return replaced(this, by); },
		replaceAll: function (_, by) { return replaced(this, by); },
	};
	Object.getOwnPropertyNames(String.prototype).forEach(function (name) {
		if (name !== "constructor" && name !== "toString" && name !== "valueOf" && typeof String.prototype[name] === "function") {
			bounded(String.prototype, name, sizes[name] || function () { return String(this).length; });
		}
	});
	["exec", "test", Symbol.match, Symbol.matchAll, Symbol.search, Symbol.split].forEach(function (name) {
		bounded(Pattern.prototype, name, function (text) { return String(text).length; });
	});
	bounded(Pattern.prototype, Symbol.replace, replaced);
	["encodeURI", "encodeURIComponent", "decodeURI", "decodeURIComponent", "escape", "unescape"].forEach(function (name) {
		bounded(globalThis, name, function (text) { return String(text).length; });
	});
	["fill", "slice", "splice", "map", "reverse", "sort", "filter", "forEach", "indexOf", "lastIndexOf", "includes", "find", "findIndex",
		"findLast", "findLastIndex", "some", "every", "reduce", "reduceRight", "copyWithin", "toString", "toReversed", "toSorted", "toSpliced",
		"with", "shift", "unshift", "push"].forEach(function (name) {
		if (Array.prototype[name]) {
			bounded(Array.prototype, name, function () { return len(this); });
		}
	});
	["flat", "flatMap", "toLocaleString"].forEach(function (name) { delete Array.prototype[name]; });
	bounded(Array.prototype, "concat", function () {
		return sum(this, arguments, function (v) { return isArray(v) ? v.length : 1; });
	});
	var join = Array.prototype.join, push = Array.prototype.push;
	replace(Array.prototype, "join", function (separator) {
		var between = separator === undefined ? "," : String(separator), texts = [], all = 0;
		if (len(this) > most) {
			refuse("join");
		}
		for (var i = 0; i < len(this); i++) {
			var text = this[i] == null ? "" : String(this[i]);
			all += text.length + between.length;
			if (all > most) {
				refuse("join");
			}
			push.call(texts, text);
		}
		return call(join, texts, [between]);
	});
	["values", "keys", "entries", Symbol.iterator].forEach(function (name) {
		bounded(Array.prototype, name, function () { return len(this); });
	});
	// JSON.stringify writes every item of an array, however few there are.
	var stringify = JSON.stringify, parse = JSON.parse;
	replace(JSON, "stringify", function (value, replacer, space) {
		var all = 0;
		return stringify(value, function (key, item) {
			if (typeof replacer === "function") {
				item = call(replacer, this, [key, item]);
			} else if (isArray(replacer) && key !== "" && !isArray(this) && replacer.indexOf(key) < 0) {
				return undefined;
			}
			all += 1 + key.length + (typeof item === "string" || isArray(item) ? item.length : 0);
			if (all > most) {
				refuse("stringify");
			}
			return item;
		}, space);
	});
	replace(JSON, "parse", function (text, reviver) {
		text = String(text);
		if (text.length > most) {
			refuse("parse");
		}
		if (tooDeep(text)) {
			throw new RangeError("JSON may not be nested so deep");
		}
		return parse(text, reviver);
	});
	bounded(Array, "from", function (source) { return len(source); });
	bounded(Function.prototype, "apply", function (self, list) { return len(list); });
	["ArrayBuffer", "SharedArrayBuffer", "Uint8Array", "Int8Array", "Uint8ClampedArray", "Uint16Array", "Int16Array", "Uint32Array", "Int32Array",
		"Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array", "DataView", "Proxy", "Reflect", "BigInt"].forEach(function (name) {
		delete globalThis[name];
	});
	delete globalThis.eval;
	// A script cannot compile another: functions are made by what it says itself.
	[function () {}, function* () {}, async function () {}].forEach(function (f) {
		replace(Object.getPrototypeOf(f), "constructor", undefined);
	});
	delete globalThis.Function;
})`, true)
