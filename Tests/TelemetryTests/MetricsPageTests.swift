import CoreMetrics
import Testing

@testable import Telemetry

@Suite("The page of metrics")
struct MetricsPageTests {
    private func text(_ families: [MetricFamily]) -> String {
        String(decoding: PrometheusText.render(families), as: UTF8.self)
    }

    @Test("a family is its help, its type and its series")
    func form() {
        let family = MetricFamily(
            "adtrack_requests_total",
            .counter,
            help: "Requests answered.",
            [.init([("route", "event"), ("result", "accepted")], .integer(.max)), .init([], .integer(0))]
        )
        #expect(
            self.text([family]) == """
                # HELP adtrack_requests_total Requests answered.
                # TYPE adtrack_requests_total counter
                adtrack_requests_total{route="event",result="accepted"} 18446744073709551615
                adtrack_requests_total 0

                """
        )
    }

    @Test("a histogram's buckets are cumulated and end with +Inf")
    func histogram() {
        let value = MetricFamily.Value.histogram(bounds: [0.000_1, 0.5, 1], buckets: [1, 0, 2, 4], sum: 12.5)
        #expect(
            self.text([MetricFamily("d_seconds", .histogram, help: "How long.", [.init([("a", "b")], value)])]) == """
                # HELP d_seconds How long.
                # TYPE d_seconds histogram
                d_seconds_bucket{a="b",le="0.0001"} 1
                d_seconds_bucket{a="b",le="0.5"} 1
                d_seconds_bucket{a="b",le="1"} 3
                d_seconds_bucket{a="b",le="+Inf"} 7
                d_seconds_sum{a="b"} 12.5
                d_seconds_count{a="b"} 7

                """
        )
    }

    @Test("families of one name are one family, and families come in the order of their names")
    func merged() throws {
        let families = [
            MetricFamily("b_total", .counter, help: "B.", [.init([("loop", "0")], .integer(1))]),
            MetricFamily("a_total", .counter, help: "A.", [.init([], .integer(5))]),
            MetricFamily("b_total", .counter, help: "B.", [.init([("loop", "1")], .integer(2))]),
        ]
        let page = try PageGrammar(PrometheusText.render(families))
        #expect(page.families == ["a_total", "b_total"])
        #expect(page.samples.map(\.value) == [5, 1, 2])
    }

    @Test(
        "label values come back as they were",
        arguments: [
            "", "plain", "a\\b", "\"", "\n", "\\n", "a\"b\\\nc", "ä€😀", "{a=\"b\"} 1", "file:./adtrack-data/events",
        ]
    )
    func escaping(value: String) throws {
        let family = MetricFamily("m", .gauge, help: "H.", [.init([("l", value), ("k", "x")], .number(1))])
        let page = try PageGrammar(PrometheusText.render([family]))
        #expect(page.samples == [PageGrammar.Sample(name: "m", labels: ["l": value, "k": "x"], value: 1)])
    }

    @Test("a help text cannot break the page")
    func helpIsEscaped() throws {
        let family = MetricFamily("m", .gauge, help: "One\nTYPE \\ two", [.init([], .number(1))])
        #expect(self.text([family]).hasPrefix("# HELP m One\\nTYPE \\\\ two\n# TYPE m gauge\n"))
    }

    @Test(
        "numbers are written so that they are read as the same",
        arguments: [0, 1, -1, 0.1, 1e-9, 1.5e300, 1e15, -1e20, 123_456_789.125, .infinity, -.infinity, .nan]
    )
    func numbers(value: Double) throws {
        let page = try PageGrammar(
            PrometheusText.render([MetricFamily("m", .gauge, help: "H.", [.init([], .number(value))])])
        )
        let read = try #require(page.samples.first?.value)
        #expect(read == value || read.isNaN && value.isNaN)
    }

    @Test("the type of content is the format's")
    func contentType() {
        #expect(PrometheusText.contentType == "text/plain; version=0.0.4; charset=utf-8")
    }
}

@Suite("What is counted through swift-metrics")
struct MetricsRegistryTests {
    private func page(_ registry: MetricsRegistry) async throws -> PageGrammar {
        try PageGrammar(PrometheusText.render(await registry.families()))
    }

    @Test("every kind of metric is on the page, with its help")
    func kinds() async throws {
        let registry = MetricsRegistry(help: ["c_total": "Counted.", "t_seconds": "Timed."])
        Counter(label: "c_total", dimensions: [("result", "ok")], factory: registry).increment(by: 3)
        Meter(label: "m", factory: registry).set(2.5)
        Gauge(label: "g", factory: registry).record(7)
        Timer(label: "t_seconds", factory: registry).recordNanoseconds(2_000_000)
        Recorder(label: "r", aggregate: true, factory: registry).record(0.75)
        let page = try await self.page(registry)
        #expect(
            page.types == [
                "c_total": "counter", "m": "gauge", "g": "gauge", "t_seconds": "histogram", "r": "histogram",
            ]
        )
        func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
            page.samples.first { $0.name == name && $0.labels == labels }?.value
        }
        #expect(value("c_total", ["result": "ok"]) == 3)
        #expect(value("m") == 2.5 && value("g") == 7)
        #expect(value("t_seconds_count") == 1 && value("t_seconds_sum") == 0.002)
        #expect(value("t_seconds_bucket", ["le": "0.001"]) == 0 && value("t_seconds_bucket", ["le": "0.0025"]) == 1)
        #expect(value("r_bucket", ["le": "+Inf"]) == 1)
        let text = String(decoding: PrometheusText.render(await registry.families()), as: UTF8.self)
        #expect(text.contains("# HELP c_total Counted.\n"))
    }

    @Test("the same name and labels are one series, others another")
    func series() async throws {
        let registry = MetricsRegistry(help: [:])
        for _ in 0..<3 { Counter(label: "c", dimensions: [("a", "1")], factory: registry).increment() }
        Counter(label: "c", dimensions: [("a", "2")], factory: registry).increment()
        // Where a pair ends is part of the name: these two are not the same.
        Counter(label: "d", dimensions: [("a", "b"), ("c", "d")], factory: registry).increment()
        let page = try await self.page(registry)
        #expect(page.samples.filter { $0.name == "c" }.map(\.value) == [3, 1])
    }

    @Test("a series is there from the start, at zero")
    func zero() async throws {
        let registry = MetricsRegistry(help: [:])
        _ = Counter(label: "c", factory: registry)
        _ = Timer(label: "t", factory: registry)
        let page = try await self.page(registry)
        #expect(page.samples.allSatisfy { $0.value == 0 })
        #expect(page.families == ["c", "t"])
    }

    @Test("a counter never falls: not by a reset, a negative step or its end")
    func countersNeverFall() async throws {
        let registry = MetricsRegistry(help: [:])
        let counter = Counter(label: "c", factory: registry)
        counter.increment(by: 5)
        counter.reset()
        counter.increment(by: -3)
        counter.destroy()
        Counter(label: "c", factory: registry).increment()
        #expect(try await self.page(registry).samples.map(\.value) == [6])
    }

    @Test("what is collected at each look stands beside what is counted")
    func collectors() async throws {
        let registry = MetricsRegistry(help: [:])
        Counter(label: "c", dimensions: [("where", "here")], factory: registry).increment()
        registry.collect { [MetricFamily("c", .counter, help: "c", [.init([("where", "there")], .integer(2))])] }
        registry.collect { [MetricFamily("e", .gauge, help: "e", [.init([], .integer(9))])] }
        let page = try await self.page(registry)
        #expect(page.families == ["c", "e"])
        #expect(page.samples.map(\.value).sorted() == [1, 2, 9])
    }

    @Test("counting from many tasks loses nothing")
    func concurrent() async throws {
        let registry = MetricsRegistry(help: [:])
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<10_000 {
                        Counter(label: "c", factory: registry).increment()
                        Timer(label: "t", factory: registry).recordNanoseconds(1)
                    }
                }
            }
        }
        let page = try await self.page(registry)
        #expect(page.samples.first { $0.name == "c" }?.value == 80_000)
        #expect(page.samples.first { $0.name == "t_count" }?.value == 80_000)
    }

    @Test("a value lies in the bucket whose bound it does not pass")
    func bounds() {
        let cell = HistogramCell()
        for bound in HistogramCell.bounds { cell.record(bound) }
        cell.record(10.000_1)
        guard case .histogram(let bounds, let buckets, _) = cell.value else {
            Issue.record("no histogram")
            return
        }
        #expect(buckets == Array(repeating: 1, count: bounds.count + 1))
    }
}
