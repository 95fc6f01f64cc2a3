package listeners

import "sync/atomic"

// fatigue is how much of the patience with a QUIC connection its client has used up by
// what asks for nothing. It is measured as over HTTP/2: h2Patience is all there is, and
// what is answered gives h2PatienceA back. The zero value is that of a new connection; it
// is safe for concurrent use.
type fatigue struct{ used atomic.Int32 }

// tire takes one from the patience. Without any, patient is false: the connection is to
// end. That stays so.
func (f *fatigue) tire() (patient bool) { return f.used.Add(1) <= h2Patience }

// calm gives some patience back. As long as none is used up it costs a load.
func (f *fatigue) calm() {
	for {
		used := f.used.Load()
		if used <= 0 || used > h2Patience {
			return
		}
		if f.used.CompareAndSwap(used, max(used-h2PatienceA, 0)) {
			return
		}
	}
}
