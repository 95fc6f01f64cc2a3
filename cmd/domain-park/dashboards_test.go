package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v4"
)

// Where the queries of an operator's monitoring are.
const (
	alertsFile     = "../../deploy/prometheus/alerts.yaml"
	alertsTestFile = "../../deploy/prometheus/alerts_test.yaml"
	dashboardFile  = "../../deploy/grafana/domain-park.json"
)

// expressions are the queries of the alerts and of the dashboard, by where they are.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	var alerts struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	for file, into := range map[string]any{alertsFile: &alerts, dashboardFile: &dashboard} {
		text, err := os.ReadFile(file)
		if err == nil && strings.HasSuffix(file, ".json") {
			err = json.Unmarshal(text, into)
		} else if err == nil {
			err = yaml.Load(text, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	for _, r := range alerts.Groups[0].Rules {
		out["alert "+r.Alert] = r.Expr
	}
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			// Grafana fills these in.
			out[fmt.Sprintf("panel %s, %d", p.Title, i)] = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr)
		}
	}
	if len(out) < 40 {
		t.Fatalf("only %d expressions found", len(out))
	}
	return out
}

var (
	metricUse = regexp.MustCompile(`\b((?:domainpark|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	labelUse  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"`)
	grouping  = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// TestMonitoringAsksForWhatThereIs: each metric, label and value that an alert
// or a panel names is in a scrape of a live server.
func TestMonitoringAsksForWhatThereIs(t *testing.T) {
	live := serveObserved(t).scrape(t)
	for where, expr := range expressions(t) {
		labels := map[string]bool{"instance": true, "job": true, "le": true}
		uses := metricUse.FindAllStringSubmatch(expr, -1)
		for _, use := range uses {
			family := live[use[1]]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if family == nil {
					family = live[strings.TrimSuffix(use[1], suffix)]
				}
			}
			if family == nil {
				t.Errorf("%s: %s is no metric of this server", where, use[1])
				continue
			}
			for _, l := range family.Metric[0].Label {
				labels[l.GetName()] = true
			}
			for _, l := range labelUse.FindAllStringSubmatch(use[2], -1) {
				expectLabel(t, where+": "+use[1], family, l[1], l[2])
			}
		}
		for _, by := range grouping.FindAllStringSubmatch(expr, -1) {
			for _, name := range strings.Split(by[1], ", ") {
				if !labels[name] {
					t.Errorf("%s: by (%s), which none of its metrics has", where, name)
				}
			}
		}
		if len(uses) == 0 && !strings.Contains(expr, "up{") {
			t.Errorf("%s: no metric in %s", where, expr)
		}
	}
}

// expectLabel looks for a label and, in turn, for each of the values it is
// compared with. Prometheus adds job and instance.
func expectLabel(t *testing.T, where string, family *dto.MetricFamily, name, compared string) {
	t.Helper()
	if name == "job" || name == "instance" {
		return
	}
	values := valuesOf(family, name)
	for _, value := range strings.Split(compared, "|") {
		if !slices.Contains(values, value) {
			t.Errorf("%s: %s is never %q", where, name, value)
		}
	}
}

// TestMonitoringIsGoodPromQL has promtool read the alerts, run their tests and
// read the queries of the dashboard.
func TestMonitoringIsGoodPromQL(t *testing.T) {
	promtool := tool(t, "promtool")
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for _, expr := range expressions(t) {
		rules = append(rules, rule{fmt.Sprintf("panel:%d", len(rules)), expr})
	}
	text, err := yaml.Dump(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	panels := write(t, t.TempDir(), "panels.yaml", string(text))
	for _, args := range [][]string{{"check", "rules", alertsFile}, {"check", "rules", panels}, {"test", "rules", filepath.Base(alertsTestFile)}} {
		cmd := exec.Command(promtool, args...)
		if args[0] == "test" {
			cmd.Dir = filepath.Dir(alertsTestFile)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", cmd, err, out)
		}
	}
}

// TestEveryAlertIsTested: one that can't be seen to fire may never.
func TestEveryAlertIsTested(t *testing.T) {
	text, err := os.ReadFile(alertsTestFile)
	if err != nil {
		t.Fatal(err)
	}
	for where := range expressions(t) {
		name, ok := strings.CutPrefix(where, "alert ")
		if ok && strings.Count(string(text), name) != 2 {
			t.Errorf("%s: expected a test that it fires, and one that it does not", name)
		}
	}
}
