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

// limits bounds the functions that take unbounded memory in one step, where no
// watch can stop them: each would build a value far longer than its arguments.
var limits = goja.MustCompile("limits", `(function () {
	var most = 1 << 20, call = Reflect.apply;
	function bounded(object, name, size) {
		var original = object[name];
		Object.defineProperty(object, name, {
			value: function () {
				if (!(call(size, this, arguments) <= most)) {
					throw new RangeError(String(name) + " would take more than " + most + " characters or items");
				}
				return call(original, this, arguments);
			},
			writable: false, configurable: false, enumerable: false
		});
	}
	bounded(String.prototype, "repeat", function (n) { return String(this).length * n; });
	bounded(String.prototype, "padStart", function (n) { return +n; });
	bounded(String.prototype, "padEnd", function (n) { return +n; });
	function len(list) { return list == null ? 0 : +list.length || 0; }
	["fill", "join", "concat", "slice", "splice", "map", "reverse", "sort", "filter", "forEach", "indexOf", "lastIndexOf", "includes",
		"find", "findIndex", "some", "every", "reduce", "reduceRight", "copyWithin", "toString", "toLocaleString", "shift", "unshift",
		"flat", "flatMap", "push"].forEach(function (name) {
		if (Array.prototype[name]) {
			bounded(Array.prototype, name, function () { return len(this); });
		}
	});
	["values", "keys", "entries", Symbol.iterator].forEach(function (name) {
		bounded(Array.prototype, name, function () { return len(this); });
	});
	// JSON.stringify writes every item of an array, however few there are.
	var stringify = JSON.stringify, isArray = Array.isArray;
	Object.defineProperty(JSON, "stringify", {
		value: function (value, replacer, space) {
			return stringify(value, function (key, item) {
				if (typeof replacer === "function") {
					item = call(replacer, this, [key, item]);
				} else if (isArray(replacer) && key !== "" && !isArray(this) && replacer.indexOf(key) < 0) {
					return undefined;
				}
				if (isArray(item) && item.length > most) {
					throw new RangeError("stringify would take more than " + most + " items");
				}
				return item;
			}, space);
		},
		writable: false, configurable: false, enumerable: false
	});
	bounded(Array, "from", function (source) { return len(source); });
	bounded(Function.prototype, "apply", function (self, list) { return len(list); });
	["ArrayBuffer", "SharedArrayBuffer", "Uint8Array", "Int8Array", "Uint8ClampedArray", "Uint16Array", "Int16Array", "Uint32Array", "Int32Array",
		"Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array", "DataView", "Proxy", "Reflect", "BigInt"].forEach(function (name) {
		delete globalThis[name];
	});
	delete globalThis.eval;
})();`, true)
