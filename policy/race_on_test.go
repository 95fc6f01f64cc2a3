//go:build race

package policy

// slower is by how much long tests are made shorter: the race detector makes
// them ten times longer.
const slower = 10
