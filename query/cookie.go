package query

// CookieState is what the DNS cookie option of a query is worth (RFC 7873 §5.2).
type CookieState uint8

// The states.
const (
	CookieNone      CookieState = iota // no cookie option
	CookieClient                       // a client cookie alone: the client asks for ours
	CookieValid                        // a server cookie that we made for this client: the address is no lie
	CookieInvalid                      // a server cookie that is too old, or not ours, or not this client's
	CookieMalformed                    // a length that no cookie has

	// CookieStates is how many there are, for arrays with one element a state.
	CookieStates
)

var cookieNames = [CookieStates]string{"none", "client", "valid", "invalid", "malformed"}

// String is the name that logs and metrics use.
func (s CookieState) String() string {
	if s < CookieStates {
		return cookieNames[s]
	}
	return "unknown"
}
