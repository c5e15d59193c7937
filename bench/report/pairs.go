package report

import (
	"fmt"
	"math"
	"strings"
)

// The subject without following frames, and never giving it up.
const (
	FramesOff    = "wsplice-frames-off"
	FramesAlways = "wsplice-frames-always"
)

// framesLimit is what following frames may cost where messages are small: the
// proxy's CPU per round trip over the same without.
const framesLimit = 1.03

// A Pairing is what one variant of the subject costs over another, by runs in
// pairs.
type Pairing struct {
	Scenario     string
	Above, Below string   // the variants
	Ratio        Interval // of the proxy's CPU over the work done
	Limit        float64  // of the interval's upper end; 0 = none
	Blind        Spread   // directions in each run of Above that frames were not followed in to the end
	cost         [2]string
}

// Held reports whether the whole interval is within the limit, if there is one.
func (p Pairing) Held() bool { return p.Limit == 0 || p.Ratio.High <= p.Limit }

func (p Pairing) outcome() string {
	switch {
	case p.Limit == 0:
		return "–"
	case p.Held():
		return "held"
	case p.Ratio.Low > p.Limit:
		return "missed" + by(p.Ratio.Median, p.Limit)
	default:
		return "not shown: the interval goes beyond"
	}
}

func (p Pairing) bound() string {
	if p.Limit == 0 {
		return "–"
	}
	return fmt.Sprintf("≤ %.2f", p.Limit)
}

// String writes the pairing in one line.
func (p Pairing) String() string {
	line := fmt.Sprintf("%s: %s ÷ %s, proxy CPU %s ÷ %s: median %.3f, 95%% interval %.3f–%.3f of %d pairs",
		p.Scenario, p.Above, p.Below, p.cost[0], p.cost[1], p.Ratio.Median, p.Ratio.Low, p.Ratio.High, p.Ratio.Count)
	if p.Limit > 0 {
		line += fmt.Sprintf(", limit %s: %s", p.bound(), p.outcome())
	}
	return line
}

// Pairings returns what following frames costs in each scenario that was
// measured in pairs, six of them at least.
func (r *Results) Pairings() []Pairing {
	var list []Pairing
	for _, scenario := range r.scenarios() {
		if !r.first(scenario).Paired {
			continue
		}
		for _, above := range []string{Subject, FramesAlways} {
			ratio, ok := intervalOf(r.ratios(proxyCPU, lane{scenario, above}, lane{scenario, FramesOff}))
			if !ok {
				continue
			}
			p := Pairing{Scenario: scenario, Above: above, Below: FramesOff, Ratio: ratio}
			if above == Subject && kindOf(r.first(scenario)) == roundTrips {
				p.Limit = framesLimit
			}
			p.Blind, _ = r.over(scenario, above, blind)
			c := columns(r.first(scenario))[0]
			for i, proxy := range []string{above, FramesOff} {
				cost, _ := r.over(scenario, proxy, c.metric)
				p.cost[i] = c.format(cost.Median) + " " + c.unit
			}
			list = append(list, p)
		}
	}
	return list
}

const following = `
## Following frames

wsplice looks for the boundaries of frames unless it is told not to (*wsplice-frames-off*). Measured in pairs: one
process serves both, and a run with and one without follow one another in turning order. The ratio is the proxy's CPU with,
over that without. The interval is the 95%%
confidence interval of the median, by the order of the pairs alone: a run that something else disturbed moves it by one
place at most. Where messages are small the whole interval has to be within %.2f. In bulk there is no limit: by default
(*wsplice*) frames too small to be spliced one by one are followed for the first 16 MiB of a direction only, which then is
*blind*.

`

// writePairings writes the section about following frames, where that was
// measured.
func (r *Results) writePairings(b *strings.Builder) {
	pairings := r.Pairings()
	if len(pairings) == 0 {
		return
	}
	fmt.Fprintf(b, following, framesLimit)
	rows := [][]string{{
		"scenario", "variant", "pairs", "proxy CPU", "without",
		"median ratio", "95% interval", "limit", "outcome", "blind directions per run",
	}}
	for _, p := range pairings {
		outcome := p.outcome()
		if !p.Held() {
			outcome = "**" + outcome + "**"
		}
		rows = append(rows, []string{
			p.Scenario, p.Above, fmt.Sprint(p.Ratio.Count), p.cost[0], p.cost[1], fmt.Sprintf("%.3f", p.Ratio.Median),
			fmt.Sprintf("%.3f–%.3f", p.Ratio.Low, p.Ratio.High), p.bound(), outcome, fmt.Sprint(math.Round(p.Blind.Median)),
		})
	}
	writeTable(b, rows)
	for _, scenario := range r.scenarios() {
		if r.first(scenario).Paired {
			r.writeFolded(b, scenario)
		}
	}
}
