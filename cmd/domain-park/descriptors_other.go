//go:build !unix

package main

import "math"

// descriptorLimit is how many files and sockets this process may have open:
// Windows sets no limit.
func descriptorLimit() uint64 { return math.MaxUint64 }
