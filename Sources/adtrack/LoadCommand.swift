public import ArgumentParser
import Dispatch
import Glibc
public import LoadGenerator

/// `adtrack load`: asks a service for answers at a fixed rate and says how long they took.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Open-loop load generator with percentiles.",
        discussion: """
            Requests leave when they are due, whether or not earlier ones were answered, and latency counts from the \
            moment a request was due. Without --rate it searches for the highest rate that holds --p99, then runs at \
            it for --duration.

            EXAMPLES
              adtrack load http://127.0.0.1:8080 --rate 5000 --duration 30s
              adtrack load http://127.0.0.1:8080 --rate 20000 --profile spike --programs programs.json --unknown 5% --json
              adtrack load http://127.0.0.1:8080 --p99 5ms --duration 10s
            """
    )

    @Argument(help: "Where the service is: http://host:port, or with a path to put before every request's.")
    var url: String

    @Option(help: ArgumentHelp("Requests a second at the peak of the profile.", valueName: "number"))
    var rate: Double?

    @Option(help: "The p99 to hold while searching for the highest rate. (default: 5ms)")
    var p99: TimeSpan?

    @Option(help: "How long to send.")
    var duration = TimeSpan(.seconds(30))

    @Option(help: "The rate over time: ramp starts at a tenth of it, spike has all of it in the middle fifth only.")
    var profile = LoadProfile.Shape.steady

    @Option(help: "Connections that are kept alive.")
    var connections = 100

    @Option(help: "Unanswered requests a connection may have.")
    var pipeline = 1

    @Option(help: "After which a missing answer is an error.")
    var timeout = TimeSpan(.seconds(5))

    @Option(help: ArgumentHelp("An id or a path a line; else the three sample programs.", valueName: "file"))
    var ids: String?

    @Option(help: ArgumentHelp("A JSON array of programs; each is asked for as its rules demand.", valueName: "file"))
    var programs: String?

    @Option(help: ArgumentHelp("Share of random unknown ids among the requests, as in 5%.", valueName: "share"))
    var unknown: Share?

    @Option(help: ArgumentHelp("Share of malformed ids among the requests, as in 1%.", valueName: "share"))
    var invalid: Share?

    @Option(help: ArgumentHelp("Write the messageId of every accepted answer to this file.", valueName: "file"))
    var record: String?

    @Flag(help: "Print the summary as one JSON object to standard output.")
    var json = false

    @Flag(help: "No line a second on standard error.")
    var quiet = false

    func validate() throws {
        if ids != nil, programs != nil { throw ValidationError("give either --ids or --programs, not both") }
        if rate != nil, p99 != nil { throw ValidationError("--p99 belongs to the search: leave --rate or --p99 out") }
        if rate == nil, profile != .steady { throw ValidationError("--profile \(profile.rawValue) needs a --rate") }
        if rate == nil, record != nil { throw ValidationError("--record needs a --rate") }
        if let p99, p99.duration <= .zero { throw ValidationError("--p99 must be longer than nothing") }
        do {
            // The ids are read when it runs; everything else can be judged here.
            try plan(at: rate ?? RateSearch.lowest, mix: mix(of: RequestMix.sample)).validate()
        } catch let error as LoadError {
            throw ValidationError(error.description)
        }
    }

    func run() async throws {
        let mix = try mix(of: paths())
        let result = try await Interruptible { try await measure(mix) }.value()
        print(json ? result.json : result.text)
    }

    private func measure(_ mix: RequestMix) async throws -> LoadResult {
        let peak: Double
        if let rate { peak = rate } else { peak = try await highestRate(mix) }
        let generator = quiet ? LoadGenerator() : LoadGenerator { complain($0.text) }
        return try await generator.run(try plan(at: peak, mix: mix))
    }

    /// Two seconds a trial: long enough for a p99 of some thousand requests, short enough for twenty trials.
    private func highestRate(_ mix: RequestMix) async throws -> Double {
        let p99 = self.p99?.duration ?? .milliseconds(5)
        var search = RateSearch()
        var step = search.first
        while case .trial(let rate) = step {
            let profile = LoadProfile(shape: .steady, rate: rate, duration: .seconds(2))
            let result = try await LoadGenerator().run(try plan(profile, mix: mix))
            try Task.checkCancellation()
            let isHeld = result.holds(p99: p99)
            complain("search     \(Int(rate))/s \(isHeld ? "held" : "not held"): \(result.trial)")
            step = search.tried(held: isHeld)
        }
        guard case .finished(let highest?) = step else {
            throw LoadError("not even \(Int(RateSearch.lowest)) requests a second were answered within the p99")
        }
        return highest.rounded(.down)
    }

    private func plan(at rate: Double, mix: RequestMix) throws -> LoadPlan {
        try plan(LoadProfile(shape: profile, rate: rate, duration: duration.duration), mix: mix)
    }

    private func plan(_ profile: LoadProfile, mix: RequestMix) throws -> LoadPlan {
        var plan = LoadPlan(target: try LoadTarget(url: url), profile: profile, mix: mix)
        plan.connections = connections
        plan.pipeline = pipeline
        plan.timeout = timeout.duration
        plan.recordPath = record
        return plan
    }

    private func mix(of paths: [String]) throws -> RequestMix {
        try RequestMix(paths: paths, unknown: unknown?.fraction ?? 0, invalid: invalid?.fraction ?? 0)
    }

    private func paths() throws -> [String] {
        if let programs { return try RequestMix.paths(ofPrograms: contents(of: programs)) }
        guard let ids else { return RequestMix.sample }
        return try RequestMix.paths(ofLines: String(decoding: contents(of: ids), as: UTF8.self))
    }

    /// At most 256 MiB: more is not a list of ids.
    private func contents(of path: String) throws -> [UInt8] {
        let most = 256 << 20
        guard let file = fopen(path, "re") else {
            throw LoadError("cannot read \(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var contents: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while contents.count <= most {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { break }
            contents += chunk[..<count]
        }
        guard ferror(file) == 0 else { throw LoadError("cannot read \(path)") }
        guard contents.count <= most else { throw LoadError("\(path) is larger than 256 MiB") }
        return contents
    }
}

extension LoadProfile.Shape: ExpressibleByArgument {}

extension LoadResult {
    /// A trial of the search in one line.
    fileprivate var trial: String {
        let latencies = "p50 \(p50Ms) ms, p99 \(p99Ms) ms, \(errors) errors"
        return generatorWasLate ? latencies + ", the generator itself was late" : latencies
    }
}

/// Work that SIGINT and SIGTERM end early, with what it has so far; a second signal ends the process as usual.
private struct Interruptible<Success: Sendable>: Sendable {
    let work: @Sendable () async throws -> Success

    init(_ work: @escaping @Sendable () async throws -> Success) {
        self.work = work
    }

    func value() async throws -> Success {
        let task = Task(operation: work)
        let numbers = [SIGINT, SIGTERM]
        let signals = Signals.watch(numbers, on: .global()) { _ in
            Signals.restore(numbers)
            task.cancel()
        }
        defer { withExtendedLifetime(signals) {} }
        do {
            return try await task.value
        } catch is CancellationError {
            throw LoadError("stopped before the search had an answer")
        }
    }
}

/// One line on standard error in one write.
func complain(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
