public import Logging
public import ServiceLifecycle
public import TrackingModel
public import Verticles

/// Keeps the embedded programs as their file says; a broken file changes nothing and is said once.
///
/// It lives on no event loop, for the disk may be slow. `run` returns when a graceful shutdown begins.
public actor ProgramsFileWatcher: Service {
    /// How often the file is looked at. A change is taken when two looks see the same file, so that one which is being
    /// written is not read half; one that never rests is read all the same after ``longestUnrest`` looks.
    private static let interval = Duration.milliseconds(200)
    private static let longestUnrest = 3

    /// The table that is kept.
    public nonisolated let embedded: EmbeddedPrograms
    private let path: String
    private let topic: Topic<CoreDataChange>
    private let logger: Logger
    /// The file that was read last, good or broken, and the one the last look saw.
    private var taken: FileContents.Signature?
    private var seen: FileContents.Signature?
    private var unrest = 0

    /// Reads the file, which has to be good now.
    public init(path: String, topic: Topic<CoreDataChange>, logger: Logger) throws(ProgramsFile.Fault) {
        self.path = path
        self.topic = topic
        self.logger = logger
        // Looked at before it is read: a change in between is seen as one.
        taken = FileContents.Signature(path: path)
        seen = taken
        embedded = EmbeddedPrograms(try ProgramsFile.read(path: path))
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown { await self.watch() }
    }

    private func watch() async {
        while !Task.isCancelled {
            do { try await Task.sleep(for: Self.interval) } catch { return }
            look()
        }
    }

    private func look() {
        let present = FileContents.Signature(path: path)
        defer { seen = present }
        guard present != taken else {
            unrest = 0
            return
        }
        unrest += 1
        guard present == seen || unrest > Self.longestUnrest else { return }
        unrest = 0
        taken = present
        reload()
    }

    private func reload() {
        do throws(ProgramsFile.Fault) {
            let programs = try ProgramsFile.read(path: path)
            embedded.replace(with: programs)
            topic.publish(.replacedAll)
            logger.info("programs were read again", metadata: ["file": "\(path)", "programs": "\(programs.count)"])
        } catch {
            logger.error(
                "the programs file is broken, the old programs stay",
                metadata: ["file": "\(path)", "reason": "\(error)"]
            )
        }
    }
}
