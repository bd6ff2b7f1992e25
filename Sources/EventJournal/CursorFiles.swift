/// Saves the sinks' positions: two files each, written in turn, so that a torn write leaves the other.
struct CursorFiles {
    private let files: any JournalFileSystem
    private let paths: JournalPaths
    private let instance: InstanceID
    private var open: [String: any JournalFile] = [:]

    init(_ files: any JournalFileSystem, _ paths: JournalPaths, _ instance: InstanceID) {
        self.files = files
        self.paths = paths
        self.instance = instance
    }

    mutating func save(_ sink: String, _ cursor: JournalLedger.Cursor) throws(IOFailure) {
        let path = self.paths.cursor(sink, Int(cursor.generation % 2))
        let note = JournalNote(
            magic: JournalFormat.cursorMagic,
            generation: cursor.generation,
            sequence: cursor.position,
            instance: self.instance,
            held: UInt32(clamping: cursor.held)
        )
        let known = self.open[path]
        // After a failure the file is opened anew: a sync is never repeated on the same descriptor.
        self.open[path] = nil
        let file: any JournalFile
        if let known { file = known } else { file = try self.files.open(path, create: true) }
        try file.writeHeader(at: [0]) { note.write(to: $0) }
        try file.sync()
        if known == nil { try self.files.syncDirectory(self.paths.directory) }
        self.open[path] = file
    }

    /// Marks a clean end: what stands below `sequence` was written.
    func saveEnd(_ sequence: UInt64, segment: UInt64) throws(IOFailure) {
        let note = JournalNote(
            magic: JournalFormat.endMagic,
            generation: 0,
            sequence: sequence,
            instance: self.instance,
            segment: segment
        )
        let file = try self.files.open(self.paths.end, create: true)
        try file.writeHeader(at: [0]) { note.write(to: $0) }
        try file.sync()
        try self.files.syncDirectory(self.paths.directory)
    }
}
