import Glibc

/// Figures of the parts that every request passes. Build it optimised:
///
///     Deploy/benchmark --parts [cache] [head] [judgement] [encoding] [kinesis]
@main
enum Benchmarks {
    private static let all: [(name: String, run: @Sendable () async -> Void)] = [
        ("cache", { CacheBenchmarks.run() }), ("head", { RequestBenchmarks.heads() }),
        ("judgement", { RequestBenchmarks.judgement() }), ("encoding", { RequestBenchmarks.encoding() }),
        ("kinesis", { await KinesisBenchmarks.run() }),
    ]

    static func main() async {
        let wanted = CommandLine.arguments.dropFirst()
        if let unknown = wanted.first(where: { name in !self.all.contains { $0.name == name } }) {
            print("There is no benchmark \(unknown); choose from \(self.all.map(\.name).joined(separator: ", ")).")
            exit(64)
        }
        Table.printHead()
        for benchmark in self.all where wanted.isEmpty || wanted.contains(benchmark.name) {
            await benchmark.run()
        }
    }
}
