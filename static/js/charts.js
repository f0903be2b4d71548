// Charts: the only user of uPlot. Value solid, baseline dashed, limit dotted, deploy time a labelled line, gaps as gaps.
// The canvas is a picture with one sentence; the table below it is the full alternative.
"use strict";
(() => {
  const { $, $$, now, clockText } = window.opsc;
  const KEPT = 600, TABLE_ROWS = 20, GAP_SECONDS = 10;
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400];
  const phone = matchMedia("(max-width: 767px)");
  const charts = new Map();
  const UTC = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");

  // A token is light-dark(): an element resolves it to the colour of the theme in use.
  function colour(host, token) {
    host.style.color = `var(${token})`;
    const found = getComputedStyle(host).color;
    host.style.color = "";
    return found;
  }
  function round(value) {
    const size = Math.abs(value);
    const text = value.toFixed(size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : 2);
    return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
  }
  function words(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit === "share" || unit === "%") return round(value * 100) + " %";
    if (unit === "ms") return value >= 1000 ? round(value / 1000) + " s" : round(value) + " ms";
    return round(value) + (unit ? " " + unit : "");
  }

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.host = $(".chart-canvas", figure);
      this.rows = $("[data-chart-rows]", figure);
      const { unit, label, range, height } = figure.dataset;
      Object.assign(this, { unit, label, range: Number(range), height: Number(height), labelledAt: 0 });
      this.host.style.height = this.height + "px";
      const given = JSON.parse($(".chart-data", figure).textContent);
      this.points = [];
      this.lines(given);
      this.add(given.points);
      this.draw();
    }
    lines({ baseline, limit, marks }) {
      if (baseline !== undefined) this.baseline = baseline;
      if (limit !== undefined) this.limit = limit;
      if (marks !== undefined) this.marks = marks || [];
    }
    add(points) {
      for (const [at, value] of points || []) {
        const last = this.points.at(-1);
        if (last && at <= last[0]) continue;
        if (last && last[1] !== null && at - last[0] > GAP_SECONDS) this.points.push([last[0] + 0.5, null]);
        this.points.push([at, value]);
      }
      if (this.points.length > KEPT) this.points.splice(0, this.points.length - KEPT);
    }
    get last() { return this.points.findLast(([, value]) => value !== null); }
    span() {
      const end = Math.max(this.points.at(-1)?.[0] ?? 0, document.body.hasAttribute("data-stale") || !this.points.length ? 0 : now() / 1000 - 15);
      const stop = end || now() / 1000;
      const covered = this.points.length ? stop - this.points[0][0] : this.range;
      return [stop - Math.max(60, Math.min(this.range, covered)), stop];
    }
    // The limit is drawn when it is near enough not to flatten the values; else it is named at the edge.
    get limitIsNear() {
      const top = Math.max(this.baseline ?? 0, ...this.points.map(([, value]) => value ?? 0));
      return this.limit !== null && this.limit <= Math.max(top * 4, Number.MIN_VALUE);
    }
    scale() {
      const from = this.span()[0];
      const values = this.points.filter(([at, value]) => value !== null && at >= from).map(([, value]) => value);
      if (this.baseline !== null) values.push(this.baseline);
      if (this.limitIsNear) values.push(this.limit);
      if (!values.length) return [0, 1];
      const low = Math.min(...values), high = Math.max(...values), pad = (high - low) * 0.12 || Math.abs(high) * 0.2 || (this.unit === "share" ? 0.01 : 1);
      return [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad * 1.6];
    }
    data() {
      const at = this.points.map((point) => point[0]);
      return [at.length ? at : [now() / 1000], at.length ? this.points.map((point) => point[1]) : [null]];
    }
    draw() {
      this.plot?.destroy();
      const text = colour(this.host, "--text"), faint = colour(this.host, "--text2"), line = colour(this.host, "--line");
      this.ink = { faint, surface: colour(this.host, "--surface") };
      const font = `11px ${getComputedStyle(this.host).fontFamily}`;
      const axis = { stroke: faint, font, ticks: { show: false }, grid: { stroke: line, width: 1 } };
      this.plot = new uPlot({
        width: Math.max(80, this.host.clientWidth), height: this.height, tzDate: UTC, legend: { show: false }, cursor: { show: false }, padding: [18, 14, 0, 0],
        scales: { x: { time: true, range: () => this.span() }, y: { range: () => this.scale() } },
        axes: [
          { ...axis, size: 20, gap: 3, space: 66, incrs: STEPS, grid: { show: false }, values: (_, splits) => splits.map((at) => clockText(at * 1000).slice(0, splits.some((one) => one % 60) ? 8 : 5)) },
          { ...axis, size: 46, gap: 4, space: 30, values: (_, splits) => splits.map((value) => words(value, this.unit).replace(" ", "\u00a0")) },
        ],
        series: [{}, { stroke: text, width: 1.75, points: { show: false }, spanGaps: false }],
        hooks: { draw: [(plot) => this.overlay(plot)] },
      }, this.data(), this.host);
      this.describe(true);
    }
    overlay(plot) {
      const { ctx, bbox } = plot, ratio = devicePixelRatio || 1;
      const y = (value) => plot.valToPos(value, "y", true), x = (at) => plot.valToPos(at, "x", true);
      const label = (text, px, py, align = "left") => {
        ctx.font = `${11 * ratio}px ${getComputedStyle(this.host).fontFamily}`;
        ctx.fillStyle = this.ink.faint; ctx.strokeStyle = this.ink.surface; ctx.lineWidth = 4 * ratio; ctx.lineJoin = "round"; ctx.setLineDash([]);
        ctx.textAlign = align; ctx.textBaseline = "bottom";
        ctx.strokeText(text, px, py - 2 * ratio); // a halo, so that the words stay readable on the curve
        ctx.fillText(text, px, py - 2 * ratio);
      };
      const across = (value, dash) => {
        ctx.beginPath(); ctx.setLineDash(dash.map((part) => part * ratio)); ctx.lineWidth = 1.25 * ratio; ctx.strokeStyle = this.ink.faint;
        ctx.moveTo(bbox.left, y(value)); ctx.lineTo(bbox.left + bbox.width, y(value)); ctx.stroke();
      };
      ctx.save();
      if (this.baseline !== null) across(this.baseline, [6, 4]);
      if (this.limitIsNear) { across(this.limit, [1.5, 3]); label("limit " + words(this.limit, this.unit), bbox.left + 4 * ratio, this.aside(y(this.limit), bbox, ratio)); }
      else if (this.limit !== null) label(`limit ${words(this.limit, this.unit)} ↑`, bbox.left + 4 * ratio, bbox.top + 16 * ratio);
      for (const [index, [at, text]] of this.marks.entries()) {
        const px = x(at), next = this.marks[index + 1];
        if (px < bbox.left || px > bbox.left + bbox.width) continue;
        ctx.beginPath(); ctx.setLineDash([]); ctx.lineWidth = ratio; ctx.strokeStyle = this.ink.faint;
        ctx.moveTo(px, bbox.top); ctx.lineTo(px, bbox.top + bbox.height); ctx.stroke();
        const right = px > bbox.left + bbox.width * 0.6 || (next && x(next[0]) - px < 80 * ratio); // two marks, two sides
        label(text, px + (right ? -1 : 1) * ratio, bbox.top, right ? "right" : "left"); // above the curves
      }
      ctx.restore();
    }
    // The words stand on the side of the limit where the values are not.
    aside(at, bbox, ratio) {
      const isUnder = (this.last?.[1] ?? 0) > this.limit && at + 16 * ratio < bbox.top + bbox.height;
      return isUnder ? at + 16 * ratio : at;
    }
    update() { if (this.plot) { this.plot.setData(this.data()); this.describe(false); } }
    describe(must) {
      if ($("details", this.figure).open) this.table();
      if (!must && Date.now() - this.labelledAt < 30_000) return;
      const last = this.last;
      if (last) this.labelledAt = Date.now();
      const parts = [last ? `${this.label}: ${words(last[1], this.unit)} at ${clockText(last[0] * 1000)} UTC` : `${this.label}: no values yet`];
      if (this.baseline !== null) parts.push(`baseline ${words(this.baseline, this.unit)}`);
      if (this.limit !== null) parts.push(`limit ${words(this.limit, this.unit)}${last ? (last[1] > this.limit ? ", above it" : ", below it") : ""}`);
      const [from, to] = this.span();
      parts.push(`from ${clockText(from * 1000)} to ${clockText(to * 1000)} UTC`);
      this.host.setAttribute("aria-label", parts.join(", "));
    }
    table() {
      const points = this.points.filter(([, value]) => value !== null).slice(-TABLE_ROWS).reverse();
      if (!points.length) return;
      this.rows.replaceChildren(...points.map(([at, value]) => {
        const row = document.createElement("tr");
        for (const [text, css] of [[clockText(at * 1000), "num"], [words(value, this.unit), "num right"]]) {
          const cell = row.appendChild(document.createElement("td"));
          cell.className = css; cell.textContent = text;
        }
        return row;
      }));
    }
  }

  // --- New points are collected and drawn at most 4 times a second, on a phone once; hidden tabs do not draw.
  const changed = new Set();
  let timer = 0;
  function later() {
    if (timer || document.hidden) return;
    timer = setTimeout(() => requestAnimationFrame(() => { timer = 0; for (const chart of changed) chart.update(); changed.clear(); }), phone.matches ? 1000 : 250);
  }
  function take(key, given) {
    const chart = charts.get(key);
    if (!chart) return;
    chart.lines(given);
    chart.add(given.pts || given.points);
    changed.add(chart);
    later();
  }
  window.opsc.chart = (part) => take(part.chart, part);

  // After a gap the missing points come by GET, one request for all charts of a page.
  async function catchUp() {
    for (const src of new Set([...charts.values()].map((chart) => chart.figure.dataset.src).filter(Boolean))) {
      const mine = [...charts.values()].filter((chart) => chart.figure.dataset.src === src);
      const since = Math.min(...mine.map((chart) => chart.last?.[0] ?? 0));
      if (Date.now() / 1000 - since < 5) continue;
      try {
        const address = new URL(src, location.href);
        address.searchParams.set("since", since);
        const answer = await fetch(address, { headers: { Accept: "application/json" }, credentials: "same-origin" });
        if (answer.ok) for (const [key, given] of Object.entries((await answer.json()).charts)) take(key, given);
      } catch { /* the next catch-up tries again */ }
    }
  }
  window.addEventListener("opsc:catch-up", catchUp);

  for (const figure of $$("figure[data-chart]")) charts.set(figure.dataset.chart, new Chart(figure));
  window.opsc.early.splice(0).forEach(window.opsc.chart);
  const redraw = () => { for (const chart of charts.values()) chart.draw(); };
  window.addEventListener("opsc:theme", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) later(); });
  document.addEventListener("toggle", (event) => { const figure = event.target.closest?.("figure[data-chart]"); if (figure) charts.get(figure.dataset.chart)?.table(); }, true);
  const sizes = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const chart = charts.get(target.closest("figure").dataset.chart);
      if (chart?.plot && contentRect.width > 40 && Math.abs(chart.plot.width - contentRect.width) > 1) chart.plot.setSize({ width: contentRect.width, height: chart.height });
    }
  });
  for (const chart of charts.values()) sizes.observe(chart.host);
})();
