package report

import "fmt"

// The bar chart's layout, in SVG user units.
const (
	chartWidth  = 860
	labelWidth  = 150
	valueWidth  = 310
	rowHeight   = 30
	barHeight   = 18
	chartTop    = 62
	chartBottom = 12
)

// chart draws one horizontal bar per proxy for the first metric of a
// scenario, with a whisker from the least to the greatest round.
func (r *Results) chart(scenario string) []byte {
	return r.chartOf(scenario, columns(r.first(scenario))[0])
}

// chartOf is chart of another metric.
func (r *Results) chartOf(scenario string, c column) []byte {
	type bar struct {
		name string
		s    Spread
	}
	var bars []bar
	longest := 0.0
	for _, proxy := range r.in(scenario) {
		if s, ok := r.over(scenario, proxy, c.metric); ok {
			bars = append(bars, bar{proxy, s})
			longest = max(longest, s.Max)
		}
	}
	if longest <= 0 {
		longest = 1
	}
	scale := float64(chartWidth-labelWidth-valueWidth) / longest
	d := newDrawing(chartWidth, chartTop+rowHeight*len(bars)+chartBottom, title(r.first(scenario)),
		fmt.Sprintf("%s, %s: median and range of the rounds; less is better", c.metric.title, c.unit))
	for i, bar := range bars {
		y := chartTop + i*rowHeight
		mid := float64(y) + barHeight/2
		d.text("ink", labelWidth-10, mid+5, "end", bar.name)
		d.put(`<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`,
			labelWidth, y, max(1, bar.s.Median*scale), barHeight, colorOf(bar.name))
		if bar.s.Min < bar.s.Max {
			d.whisker(labelWidth+max(0, bar.s.Min)*scale, labelWidth+bar.s.Max*scale, mid)
		}
		value := r.cell(c, scenario, bar.name)
		ratio, ok := r.ratio(c.metric, lane{scenario, Subject}, lane{scenario, bar.name})
		if apart := r.apart(scenario, bar.name); apart != "" {
			value += "; " + apart
		} else if ok && bar.name != Subject {
			value += fmt.Sprintf("; %s ÷ it: %.2f", Subject, ratio.Median)
		}
		d.text("ink", labelWidth+bar.s.Max*scale+10, mid+5, "start", value)
	}
	return d.end()
}

// whisker draws a line with ends from x to to.
func (d *drawing) whisker(x, to, y float64) {
	d.put(`<path class="whisker" d="M%.1f %.1fv8m0-4H%.1fm0-4v8"/>`, x, y-4, to)
}
