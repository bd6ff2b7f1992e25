import Glibc

/// Figures of the parts that every request passes. Build it optimised:
///
///     swift run -c release Benchmarks [cache] [head] [judgement] [encoding]
@main
enum Benchmarks {
    private static let all: [(name: String, run: @Sendable () -> Void)] = [
        ("cache", { CacheBenchmarks.run() }), ("head", { RequestBenchmarks.heads() }),
        ("judgement", { RequestBenchmarks.judgement() }), ("encoding", { RequestBenchmarks.encoding() }),
    ]

    static func main() {
        let wanted = CommandLine.arguments.dropFirst()
        if let unknown = wanted.first(where: { name in !self.all.contains { $0.name == name } }) {
            print("There is no benchmark \(unknown); choose from \(self.all.map(\.name).joined(separator: ", ")).")
            exit(64)
        }
        Table.printHead()
        for benchmark in self.all where wanted.isEmpty || wanted.contains(benchmark.name) { benchmark.run() }
    }
}
