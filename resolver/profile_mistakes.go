package resolver

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var errPosition = regexp.MustCompile(`^dns: (.*?)(?:: "(.*)")? at line: \d+:\d+$`)

// parseReason turns an error of the parser into one for people: it looks for
// the token in the file, as the parser saw the record alone.
func parseReason(e *entry, err error) (reason string, column int) {
	if err == nil {
		return "a record without a type and data; expected for example: ** TXT \"text\"", e.column
	}
	m := errPosition.FindStringSubmatch(err.Error())
	if m == nil {
		return err.Error(), e.column
	}
	if m[2] == "" {
		return m[1] + "; a record is written: owner [TTL] TYPE data", e.column
	}
	column = e.column
	if i := strings.Index(e.raw, m[2]); i >= 0 {
		column = i + 1
	}
	what := m[1]
	if what == "not a TTL" {
		what = "neither a TTL nor a type"
	}
	return fmt.Sprintf("%s: found %q; a record is written: owner [TTL] TYPE data", what, m[2]), column
}

// tokenError is a mistake in one token, which tells its column.
type tokenError struct{ token, reason string }

func (e *tokenError) Error() string { return e.reason }

func columnOf(e *entry, err error) int {
	var t *tokenError
	if errors.As(err, &t) {
		if i := strings.Index(e.raw, t.token); i >= 0 {
			return i + 1
		}
	}
	return e.column
}
