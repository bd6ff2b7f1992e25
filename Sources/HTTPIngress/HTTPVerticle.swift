public import EventJournal
import Glibc
public import NIOCore
public import ProgramCache
public import Reactor
public import TrackingModel
import TrackingPipeline
public import Verticles

/// The HTTP side of one event loop: its connections, its pipeline, its answers.
///
/// Everything between the bytes of a request and its place in the journal's buffer is one synchronous run. What waits is
/// the answer: for the disk, and for a program that memory doesn't hold.
public actor HTTPVerticle: Verticle {
    /// What makes a listener a tracking one.
    public struct Tracking: Sendable {
        public let cache: ProgramCache.Limits
        public let source: ProgramSource
        public let journal: EventJournal
        public let changes: Address<CoreDataChange>

        public init(
            cache: ProgramCache.Limits,
            source: ProgramSource,
            journal: EventJournal,
            changes: Address<CoreDataChange>
        ) {
            self.cache = cache
            self.source = source
            self.journal = journal
            self.changes = changes
        }
    }

    nonisolated let reactor: ReactorLoop
    nonisolated public var loop: any EventLoop { self.reactor }
    private let executor: UnownedSerialExecutor
    nonisolated public var unownedExecutor: UnownedSerialExecutor { self.executor }

    let configuration: IngressConfiguration
    let routes: [Route]
    let source: ProgramSource?
    let listener: Listener

    var pipeline: TrackingPipeline?
    /// Core data on its way here: looked into before any request is, so that no answer is behind another loop's.
    var changes: Mailbox<CoreDataChange>?
    /// Where this loop tells the others what it has read.
    var others: Topic<CoreDataChange>?

    var clocks = Clocks()
    let heads = ResponseHeads()
    var parser: HeadParser
    var decodedPath: [UInt8] = []
    /// Where in the path of the head that is being read the program's id stands; nil for every path but a tracking one.
    var trackedID: Range<Int>?
    public internal(set) var books = RequestBooks()
    var feed = CoreDataCounts()

    private var listening: ListeningSocket?
    /// Lent to one connection after the other, for the time in which what it read is served.
    private var readMemory = ByteBufferAllocator().buffer(capacity: HTTPConnection.readBytes)
    /// By slot; nil: free.
    var connections: [HTTPConnection?] = []
    var freeSlots: [Int] = []
    /// Connections with answers in a batch, the oldest batch first.
    var holding: [(batch: UInt64, connections: [HTTPConnection])] = []
    /// Room for the next batch's connections: that of the last one that was settled.
    var spareHolding: [HTTPConnection] = []
    var isDraining = false
    var sweeps: RepeatedTask?

    public init(
        _ context: VerticleContext<ReactorLoop>,
        configuration: IngressConfiguration,
        listener: Listener,
        routes: [Route],
        tracking: Tracking? = nil
    ) {
        self.reactor = context.loop
        self.executor = context.loop.asUnownedSerialExecutor()
        self.configuration = configuration
        self.listener = listener
        self.routes = routes
        self.source = tracking?.source
        self.parser = HeadParser(configuration.head)
        self.tracking = tracking
        self.bus = context.bus
    }

    private let tracking: Tracking?
    private let bus: EventBus

    public func start() async throws {
        if let tracking { self.prepare(tracking) }
        self.beginSweeps()
        self.listening = try self.listener.listen(on: self.reactor) { descriptor in
            self.enter { $0.accepted(descriptor) }
        }
    }

    func stopListening() {
        self.listening?.close()
        self.listening = nil
    }

    private func prepare(_ tracking: Tracking) {
        let lane = tracking.journal.makeLane(on: self.loop) { [unowned self] batch, outcome in
            self.enter { $0.settled(batch, outcome) }
        }
        self.pipeline = TrackingPipeline(cache: ProgramCache(tracking.cache), lane: lane)
        self.others = self.bus.topic(tracking.changes)
        self.changes = self.bus.consumer(tracking.changes, on: self.loop) { [unowned self] change in
            self.enter { $0.apply(change) }
        }
    }

    // MARK: Connections come and go

    private func accepted(_ descriptor: CInt) {
        let connection = HTTPConnection(descriptor: descriptor, verticle: self)
        connection.lastActivity = self.reactor.tick
        do {
            try self.reactor.watch(connection, for: HTTPConnection.input)
        } catch {
            // The system has no memory to watch it.
            Glibc.close(descriptor)
            return self.listener.giveRoomBack()
        }
        if let slot = self.freeSlots.popLast() {
            connection.slot = slot
            self.connections[slot] = connection
        } else {
            connection.slot = self.connections.count
            self.connections.append(connection)
        }
    }

    func connectionClosed(_ connection: HTTPConnection) {
        guard connection.slot >= 0 else { return }
        self.connections[connection.slot] = nil
        self.freeSlots.append(connection.slot)
        connection.slot = -1
        self.listener.giveRoomBack()
    }

    /// Something has come from a client, or its end.
    func readable(_ connection: HTTPConnection) {
        if connection.receive(borrowing: &self.readMemory) { self.proceed(connection) }
        connection.giveBack(to: &self.readMemory)
        if connection.clientHasFinished { self.clientFinished(connection) }
    }

    var openConnections: Int { self.connections.count - self.freeSlots.count }

    // MARK: What a management page asks for

    public struct Snapshot: Sendable {
        public let books: RequestBooks
        public let lookups: ProgramCache.Counts
        public let programs: Int
        public let connections: Int
        public let feed: CoreDataCounts
    }

    public func snapshot() -> Snapshot {
        Snapshot(
            books: self.books,
            lookups: self.pipeline?.cache.counts ?? ProgramCache.Counts(),
            programs: self.pipeline?.cache.count ?? 0,
            connections: self.openConnections,
            feed: self.feed
        )
    }
}
