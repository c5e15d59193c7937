package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"wsplice/bench/load"
)

// A curve is a chart of one metric over the points of a sweep.
type curve struct {
	file   string
	title  string
	across string // what x is
	metric metric
	unit   string
	label  func(x int) string
	// x returns where a scenario stands; ok is false where it is none of the
	// points.
	x func(*Sample) (x int, ok bool)
}

func plain(x int) string {
	if x >= 1000 {
		return fmt.Sprintf("%d,%03d", x/1000, x%1000)
	}
	return fmt.Sprint(x)
}

// echoPoint says that a sample belongs to the closed loop without idle
// tunnels.
func echoPoint(s *Sample) bool {
	return s.Load != nil && s.Load.Scenario == load.Echo && strings.HasPrefix(s.Scenario, "echo-")
}

var curves = []curve{
	{
		file: "cost-by-tunnels", title: "What a round trip of 128 B costs against the number of tunnels", across: "tunnels",
		metric: proxyCPU, unit: "µs/round trip", label: plain,
		x: func(s *Sample) (int, bool) {
			if !echoPoint(s) || s.Load.MessageBytes != 128 {
				return 0, false
			}
			return s.Load.Tunnels, true
		},
	},
	{
		file: "cost-by-size", title: "What a round trip over 100 tunnels costs against the size of the message", across: "message",
		metric: proxyCPU, unit: "µs/round trip", label: messageSize,
		x: func(s *Sample) (int, bool) {
			if !echoPoint(s) || s.Load.Tunnels != 100 {
				return 0, false
			}
			return s.Load.MessageBytes, true
		},
	},
	{
		file: "bulk-by-size", title: "What a gigabyte to the client over 4 tunnels costs against the size of the frame",
		across: "frame",
		metric: proxyCPU, unit: "s/GB", label: messageSize,
		x: func(s *Sample) (int, bool) {
			if s.Load == nil || s.Load.Scenario != load.Down || s.Load.Tunnels != 4 {
				return 0, false
			}
			return s.Load.MessageBytes, true
		},
	},
}

// curvePointsMin is how many points make a curve worth drawing.
const curvePointsMin = 3

// A point is a scenario's place on a curve.
type point struct {
	x int
	s Spread
}

// lines returns the points of each proxy, in order, and every x there is. The
// names are nil where there is too little to draw.
func (r *Results) lines(c *curve) (names []string, points map[string][]point, xs []int) {
	points = map[string][]point{}
	for _, scenario := range r.scenarios() {
		x, ok := c.x(r.first(scenario))
		if !ok || r.first(scenario).Paired || r.first(scenario).Family != "" {
			continue
		}
		for _, proxy := range r.in(scenario) {
			if s, ok := r.over(scenario, proxy, c.metric); ok && s.Median > 0 {
				points[proxy] = append(points[proxy], point{x, s})
				xs = append(xs, x)
			}
		}
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	for _, proxy := range order {
		slices.SortFunc(points[proxy], func(a, b point) int { return a.x - b.x })
		points[proxy] = slices.CompactFunc(points[proxy], func(a, b point) bool { return a.x == b.x })
		if len(points[proxy]) >= curvePointsMin {
			names = append(names, proxy)
		}
	}
	if names == nil {
		return nil, nil, nil
	}
	return names, points, xs
}

// The layout of a curve, in SVG user units.
const (
	curveHeight = 420
	curveTop    = 70
	curveBottom = 52
	curveLeft   = 64
	curveRight  = 150 // names stand there
	nameHeight  = 16
)

// An axis places values on a logarithmic scale.
type axis struct {
	low, high float64 // values at the ends
	from, to  float64 // where the ends are drawn
}

func (a axis) at(v float64) float64 {
	return a.from + (a.to-a.from)*math.Log(v/a.low)/math.Log(a.high/a.low)
}

// marks returns the values 1, 2 and 5 times a power of ten within the axis.
func (a axis) marks() []float64 {
	var list []float64
	for power := math.Pow(10, math.Floor(math.Log10(a.low))); power <= a.high; power *= 10 {
		for _, step := range []float64{1, 2, 5} {
			if v := step * power; v >= a.low && v <= a.high {
				list = append(list, v)
			}
		}
	}
	return list
}

// plot draws a curve, or returns nil where too few points were measured.
func (r *Results) plot(c *curve) []byte {
	names, points, xs := r.lines(c)
	if names == nil {
		return nil
	}
	low, high := math.Inf(1), 0.0
	for _, name := range names {
		for _, p := range points[name] {
			low, high = min(low, p.s.Min), max(high, p.s.Max)
		}
	}
	across := axis{float64(xs[0]), float64(xs[len(xs)-1]), curveLeft, chartWidth - curveRight}
	up := axis{max(low, high/1000) * 0.85, high * 1.15, curveHeight - curveBottom, curveTop}
	d := newDrawing(chartWidth, curveHeight, c.title,
		fmt.Sprintf("%s, %s, both scales logarithmic: median and range of the rounds; less is better", c.metric.title, c.unit))
	for _, v := range up.marks() {
		d.put(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, across.from, up.at(v), across.to)
		d.text("faint", across.from-8, up.at(v)+4, "end", fmt.Sprintf("%g", v))
	}
	for _, x := range xs {
		d.put(`<path class="grid" d="M%.1f %.1fV%.1f"/>`, across.at(float64(x)), up.from, up.to)
		d.text("faint", across.at(float64(x)), up.from+20, "middle", c.label(x))
	}
	d.text("faint", (across.from+across.to)/2, up.from+40, "middle", c.across)
	d.curves(names, points, across, up)
	return d.end()
}

// curves draws a line per proxy, the subject's last and on top, and its name
// at its right end.
func (d *drawing) curves(names []string, points map[string][]point, across, up axis) {
	drawn := slices.Clone(names)
	slices.Reverse(drawn)
	for _, name := range drawn {
		color, width := colorOf(name), 1.8
		if name == Subject {
			width = 3.2
		}
		var path strings.Builder
		for i, p := range points[name] {
			x, y := across.at(float64(p.x)), up.at(p.s.Median)
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], x, y)
			d.put(`<path d="M%.1f %.1fV%.1f" stroke="%s" stroke-width="1"/>`, x, up.at(max(p.s.Min, up.low)), up.at(p.s.Max), color)
			d.put(`<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s"/>`, x, y, width+1, color)
		}
		d.put(`<path d="%s" fill="none" stroke="%s" stroke-width="%.1f" stroke-linejoin="round"/>`, path.String(), color, width)
	}
	for _, l := range spreadNames(names, points, up) {
		p := points[l.name][len(points[l.name])-1]
		d.put(`<path d="M%.1f %.1fL%.1f %.1f" stroke="%s" stroke-width="1" stroke-opacity="0.6"/>`,
			across.at(float64(p.x))+4, up.at(p.s.Median), across.to+16, l.y-4, colorOf(l.name))
		d.put(`<text x="%.1f" y="%.1f" fill="%s" font-weight="600">%s</text>`, across.to+20, l.y, colorOf(l.name), escaped(l.name))
	}
}

type placedName struct {
	name string
	y    float64
}

// spreadNames places the names beside the ends of their lines, far enough
// from one another to be read.
func spreadNames(names []string, points map[string][]point, up axis) []placedName {
	var list []placedName
	for _, name := range names {
		last := points[name][len(points[name])-1]
		list = append(list, placedName{name, up.at(last.s.Median) + 4})
	}
	slices.SortFunc(list, func(a, b placedName) int { return int(math.Copysign(1, a.y-b.y)) })
	for i := 1; i < len(list); i++ {
		list[i].y = max(list[i].y, list[i-1].y+nameHeight)
	}
	floor := up.from + nameHeight // and back up where they left the picture
	for i := len(list) - 1; i >= 0; i-- {
		list[i].y = min(list[i].y, floor)
		floor = list[i].y - nameHeight
	}
	return list
}
