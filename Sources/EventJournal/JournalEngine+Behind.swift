import Logging

/// Syncs that no answer waits for: the `write` mode's other half.
extension JournalEngine {
    /// Of frames that no sync covers: what a fresh segment can take once more.
    private var maxBehind: Int { self.configuration.effectiveSegmentBytes - 2 * JournalFormat.block }

    /// What may be written before the next sync.
    func room(behind appender: borrowing Appender) -> Int {
        self.configuration.durability == .fsync ? .max : self.maxBehind - appender.behind.bytes
    }

    /// Whether so many bytes more would have to wait until a sync covers what is there already.
    func mustSync(before bytes: Int, _ appender: borrowing Appender) -> Bool {
        guard self.configuration.durability != .fsync, !appender.behind.mustRewrite else { return false }
        if appender.behind.bytes > 0, bytes > self.room(behind: appender) { return true }
        let changesSegment = appender.current.map { bytes > $0.limit - $0.position } ?? true
        return changesSegment && appender.behind.files.count > 1
    }

    func noteUnsynced(_ file: any JournalFile, bytes: Int, _ appender: inout Appender) {
        appender.behind.bytes += bytes
        if appender.behind.files.last !== file { appender.behind.files.append(file) }
    }

    /// Makes durable what was written without waiting. Commits go on meanwhile.
    func syncBehind() {
        guard self.configuration.durability != .fsync else { return }
        self.syncing.withLock { _ in
            let (behind, directory, next) = self.appender.withLock { appender in
                if appender.behind.mustRewrite { self.rewrite(&appender) }
                defer { appender.directoryIsUnsynced = false }
                return (appender.behind, appender.directoryIsUnsynced, self.nextSequence)
            }
            guard !behind.mustRewrite, !behind.files.isEmpty || directory else { return }
            do {
                for file in behind.files { try self.timedSync(file) }
                if directory { try self.files.syncDirectory(self.paths.directory) }
                self.appender.withLock { self.synced(behind, through: next, &$0) }
            } catch {
                self.logger.error("journal sync failed", metadata: ["cause": "\(error)"])
                self.appender.withLock { self.rewrite(behind, &$0) }
            }
        }
    }

    private func synced(_ behind: Behind, through next: UInt64, _ appender: inout Appender) {
        guard appender.behind.rewrites == behind.rewrites else { return }
        appender.behind.bytes -= behind.bytes
        appender.behind.syncedThrough = max(appender.behind.syncedThrough, next)
        // Only the one that was being written may have got more meanwhile.
        let written = appender.behind.bytes > 0 ? behind.files.last : nil
        appender.behind.files.removeAll { file in
            file !== written && behind.files.contains { $0 === file }
        }
    }

    private func rewrite(_ behind: Behind, _ appender: inout Appender) {
        guard appender.behind.rewrites == behind.rewrites else { return }
        appender.behind.mustRewrite = true
        self.rewrite(&appender)
    }

    private func rewrite(_ appender: inout Appender) {
        appender.current = nil
        if self.rotate(&appender, bytes: self.configuration.effectiveSegmentBytes) != nil { self.fail(.unavailable) }
    }
}
