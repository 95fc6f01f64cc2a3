package listeners

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"domainpark/query"
)

// dohPath is the one path that takes queries. RFC 8484 §4.1.1 leaves the choice
// to the server; every public resolver made this one.
const dohPath = "/dns-query"

// dohHandler answers DNS queries over HTTP. One serves TCP and one QUIC.
type dohHandler struct {
	resolver  Resolver
	transport query.Transport
	cfg       *Config  // its Page answers other paths than dohPath; nil: 404
	altSvc    []string // where HTTP/3 is; nil: not said
}

// Values of header fields, as net/http wants them. They are shared by all
// answers: nobody may change them.
var (
	dnsMessage  = []string{"application/dns-message"} // RFC 8484 §6
	plainText   = []string{"text/plain; charset=utf-8"}
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
	hsts        = []string{"max-age=31536000"} // a year; RFC 6797 §6.1.1
	anyOrigin   = []string{"*"}
	methods     = []string{"GET, HEAD, POST, OPTIONS"}
	corsHeaders = []string{"Content-Type, Accept"}
	corsMaxAge  = []string{"86400"} // browsers ask again after a day, most of them earlier
)

// ServeHTTP implements http.Handler.
func (h *dohHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.cfg.faults.aborts(h.transport.String(), r)
	h.serve(w, r, touch(w, r))
}

// serve is ServeHTTP for a request that has been noted.
func (h *dohHandler) serve(w http.ResponseWriter, r *http.Request, refused *refusals) {
	h.common(w.Header())
	if r.URL.Path != dohPath {
		if h.admits(clientAddr(r), time.Now()) {
			refused.answered()
			h.servePage(w, r)
		} else {
			refuseOn(w, refused, errRequests)
		}
		return
	}
	header := w.Header()
	// DNS is public: scripts of every site may ask (WHATWG Fetch, CORS).
	header["Access-Control-Allow-Origin"] = anyOrigin
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		h.answer(w, r, refused)
	case http.MethodOptions:
		if !h.admits(clientAddr(r), time.Now()) {
			refuseOn(w, refused, errRequests)
			return
		}
		refused.answered()
		header["Allow"] = methods
		header["Access-Control-Allow-Methods"] = methods
		header["Access-Control-Allow-Headers"] = corsHeaders
		header["Access-Control-Max-Age"] = corsMaxAge
		w.WriteHeader(http.StatusNoContent)
	default:
		header["Allow"] = methods
		refuseOn(w, refused, h.charged(errMethod, clientAddr(r), time.Now()))
	}
}

// admits tells whether a request is answered that carries no query. What the
// resolver sees is charged there.
func (h *dohHandler) admits(client netip.AddrPort, now time.Time) bool {
	return h.cfg.admits(client, h.transport, now)
}

// charged is what the sender of such a request is told instead of e, or e.
func (h *dohHandler) charged(e *httpError, client netip.AddrPort, now time.Time) *httpError {
	if h.admits(client, now) {
		return e
	}
	return errRequests
}

// common is what every answer says.
func (h *dohHandler) common(header http.Header) {
	header["X-Content-Type-Options"] = noSniff
	if h.altSvc != nil {
		header["Alt-Svc"] = h.altSvc
	}
}

// servePage answers what browsers come for. They are told to come encrypted
// always, but not on other ports than HTTPS's own: they would apply it to every
// port of this host (RFC 6797 §8.3), the plain HTTP for administrators included.
func (h *dohHandler) servePage(w http.ResponseWriter, r *http.Request) {
	if _, port, err := net.SplitHostPort(r.Host); err != nil || port == "443" {
		w.Header()["Strict-Transport-Security"] = hsts
	}
	if page := h.cfg.now().Page; page != nil {
		page.ServeHTTP(w, r)
		return
	}
	refuse(w, &httpError{http.StatusNotFound, "there is nothing here; DNS queries go to " + dohPath})
}

// answer takes the query out of r and writes the resolver's answer.
func (h *dohHandler) answer(w http.ResponseWriter, r *http.Request, refused *refusals) {
	x := borrowExchange()
	defer x.release()
	message, failure := dohMessage(r, x)
	if failure != nil {
		refuseOn(w, refused, h.charged(failure, clientAddr(r), time.Now()))
		return
	}
	q := &x.query
	q.Message, q.Client, q.Transport, q.Received = message, clientAddr(r), h.transport, time.Now()
	q.Verdict = query.Pending
	x.out = h.resolver.Resolve(x.out[:0], q)
	if len(x.out) == 0 {
		refuseOn(w, refused, h.unanswered(q))
		return
	}
	refused.answered()
	header := w.Header()
	header["Content-Type"] = dnsMessage
	header["Content-Length"] = []string{strconv.Itoa(len(x.out))}
	header["Cache-Control"] = cacheControl(q.MaxAge)
	_, _ = w.Write(x.out) // every ResponseWriter keeps it to itself when the method was HEAD
}

// cacheControl lets a cache keep an answer for as long as its records live
// (RFC 8484 §5.1).
func cacheControl(maxAge uint32) []string {
	if maxAge == 0 {
		return noStore
	}
	return []string{"max-age=" + strconv.FormatUint(uint64(maxAge), 10)}
}

// httpError is a request that gets no DNS answer, and what its sender is told.
type httpError struct {
	status int
	reason string
}

// unanswered is what HTTP says for a verdict without an answer. A panic leaves it
// undecided.
func unanswered(v query.Verdict) *httpError {
	switch v {
	case query.Dropped:
		return &httpError{http.StatusTooManyRequests, "too many queries from your network, or it is not allowed to ask"}
	case query.Pending:
		return &httpError{http.StatusInternalServerError, "this query could not be answered; the server has logged why"}
	default:
		return &httpError{http.StatusBadRequest, "this is not a DNS query (RFC 1035 §4.1)"}
	}
}

// unanswered is what HTTP says when the resolver is silent about q. What is no
// query was charged by nobody so far.
func (h *dohHandler) unanswered(q *query.Query) *httpError {
	e := unanswered(q.Verdict)
	if q.Verdict == query.Silent {
		e = h.charged(e, q.Client, q.Received)
	}
	return e
}

func refuse(w http.ResponseWriter, e *httpError) {
	header := w.Header()
	header["Content-Type"] = plainText
	header["Cache-Control"] = noStore
	header["Content-Length"] = []string{strconv.Itoa(len(e.reason) + 1)}
	if e.status == http.StatusTooManyRequests {
		header["Retry-After"] = retryHint
	}
	w.WriteHeader(e.status)
	_, _ = w.Write([]byte(e.reason + "\n"))
}
