import ArgumentParser
import Glibc

/// The one executable. A mistake in what the user wrote is one sentence and exit status 64 (EX_USAGE of sysexits.h).
@main
struct Adtrack: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adtrack",
        abstract: "Ad tracking that answers at once and loses nothing.",
        discussion: """
            EXAMPLE
              adtrack serve                               the service on its built-in sample, port 8080
              curl http://127.0.0.1:8080/event/212312     one event
              adtrack events ./adtrack-data/events        what was recorded
            """,
        subcommands: [
            ServeCommand.self, ConsumeCommand.self, UpdateCommand.self, ReportCommand.self, ProgramsCommand.self,
            EventsCommand.self, LoadCommand.self,
        ]
    )

    static func main() async {
        // A client or a pipe that went away is an error of one write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        do {
            let function = LambdaBootstrap(environment: self.environment(), arguments: CommandLine.arguments)
            if let function { return try await function.run() }
            var command = try Self.parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            Self.end(with: error)
        }
    }

    private static func end(with error: any Error) -> Never {
        let status = self.exitCode(for: error).rawValue
        // Help and the like, and a status without words.
        if status == 0 || error is ExitCode { self.exit(withError: error) }
        let sentence = self.message(for: error).split(separator: "\n").joined(separator: " ")
        let commands = self.configuration.subcommands.compactMap { $0.configuration.commandName }
        let name = commands.first { $0 == CommandLine.arguments.dropFirst().first }.map { "adtrack \($0)" } ?? "adtrack"
        let hint = status == 64 ? " (see \(name) --help)" : ""
        var line = Array("adtrack: \(sentence)\(hint)\n".utf8)
        _ = write(STDERR_FILENO, &line, line.count)
        Glibc.exit(status)
    }
}
