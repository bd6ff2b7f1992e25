import ArgumentParser
import Glibc
import Logging

/// `adtrack serve`: the tracking service.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "The tracking service.",
        discussion: """
            Without --redis and --programs it serves a built-in sample of three programs: 212312, 212313, 212314.
            Every flag is also an environment variable (--redis-key-prefix is ADTRACK_REDIS_KEY_PREFIX) and a key of the \
            file given with --config.

            EXAMPLES
              adtrack serve
              adtrack serve --redis redis://127.0.0.1:6379 --sink file:/var/lib/adtrack/events
            """
    )

    @OptionGroup var options: ServeOptions

    func run() async throws {
        let environment = Adtrack.environment()
        let settings = try await Settings(
            flags: self.options.given,
            environment: environment,
            file: self.options.config ?? environment["ADTRACK_CONFIG"]
        )
        let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let configuration = try ServeConfiguration(settings, cores: cores)
        LoggingSystem.bootstrap { _ in LineLogHandler(logLevel: configuration.logLevel) }
        try await TrackingService(configuration, logger: Logger(label: "adtrack")).run()
    }
}

extension Adtrack {
    static func environment() -> [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let pair = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
            entry += 1
        }
        return variables
    }
}

/// Why the service could not start, in one sentence that says what to do.
struct StartError: Error, CustomStringConvertible {
    let description: String

    init(_ sentence: String) { self.description = sentence }
}
