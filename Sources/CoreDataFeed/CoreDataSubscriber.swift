import Logging
import Metrics
public import NIOCore
public import RedisClient
import Synchronization
public import TrackingModel
public import Verticles

/// Listens to pushed core data and hands each change to every event loop; heals what it missed while it was away.
///
/// On every new subscription it waits for the confirmation and then reads the change stream from where it was. Every few
/// seconds it compares the stream with what was pushed, so that a push that was lost in silence is found too.
public actor CoreDataSubscriber: Verticle {
    /// How often the stream is compared with what was pushed.
    public static let verificationInterval = TimeAmount.seconds(5)
    /// And at the latest after so many pushes, a tenth of what the stream keeps: a large import must not outrun us.
    static let verificationPushes = StoreScripts.keptChanges / 10
    /// The pause after a read of the stream failed.
    private static let retryPause = Duration.milliseconds(100)
    /// A fence that does not come back in this time is given up; the next comparison makes another.
    private static let fenceLimit = TimeAmount.seconds(2)

    public nonisolated let loop: any EventLoop
    private let executor: UnownedSerialExecutor
    private let configuration: RedisConfiguration
    private let keys: CoreDataKeys
    private let topic: Topic<CoreDataChange>
    private let logger: Logger
    private let malformed = Counter(label: "adtrack_core_data_updates_total", dimensions: [("result", "malformed")])
    private let client: RedisClient
    private let stream: ChangeStream
    private var subscription: RedisSubscription?
    private var verification: RepeatedTask?
    private var fence = Fence()
    /// Counts subscriptions: what was begun under an earlier one is dropped.
    private var epoch = 0
    /// nil until the first subscription.
    private var position: ChangeStream.Position?
    private var isVerifying = false
    private var pushesSinceVerification = 0
    /// Read by whoever answers for the service's readiness, on any thread.
    private let current = Atomic(false)

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor }

    /// Whether everything that was published up to now is on its way to the caches, or there already.
    public nonisolated var isCurrent: Bool { current.load(ordering: .relaxed) }

    /// - Parameter topic: where changes go; its mailboxes may answer an overflow with `recheckAll`.
    public init(
        _ configuration: RedisConfiguration,
        keys: CoreDataKeys = CoreDataKeys(),
        topic: Topic<CoreDataChange>,
        context: VerticleContext<any EventLoop>
    ) {
        var reading = configuration
        reading.commandTimeout = .seconds(1)
        self.loop = context.loop
        self.executor = context.loop.executor.asUnownedSerialExecutor()
        self.configuration = configuration
        self.keys = keys
        self.topic = topic
        self.logger = context.logger
        self.client = RedisClient(reading, on: context.loop, logger: context.logger)
        self.stream = ChangeStream(client: client, key: keys.changes)
    }

    public func start() async {
        let subscription = RedisSubscription(configuration, channels: [keys.channel], on: loop, logger: logger) {
            event in
            self.assumeIsolated { $0.happened(event) }
        }
        self.subscription = subscription
        await client.start()
        await subscription.start()
        let interval = Self.verificationInterval
        verification = loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            self.assumeIsolated { $0.beginVerification() }
        }
    }

    public func stop() async {
        verification?.cancel()
        verification = nil
        await subscription?.stop()
        await client.stop()
        lose()
    }

    private func happened(_ event: RedisSubscription.Event) {
        switch event {
        case .message(_, let payload):
            publish([payload], origin: .pushed)
            pushesSinceVerification += 1
            if pushesSinceVerification >= Self.verificationPushes { beginVerification() }
        case .pong(let payload): fence.passed(payload)
        case .subscribed:
            epoch += 1
            let present = epoch
            Task { await self.catchUp(epoch: present) }
        case .lost: lose()
        }
    }

    private func lose() {
        epoch += 1
        current.store(false, ordering: .relaxed)
        fence.giveUp()
    }

    private func publish(_ messages: [ByteBuffer?], origin: CoreDataChange.Origin) {
        for bytes in messages {
            if let message = bytes.flatMap({ CoreDataMessage($0) }) {
                topic.publish(message.change(origin: origin))
            } else if origin != .verified {
                // What is compared was counted when it was pushed.
                malformed.increment()
            }
        }
    }
}

/// After a new subscription: from the last known position to the stream's end.
extension CoreDataSubscriber {
    private func catchUp(epoch: Int) async {
        while epoch == self.epoch {
            do {
                try await readOn(epoch: epoch)
                guard epoch == self.epoch else { return }
                current.store(true, ordering: .relaxed)
                logger.info("core data is current")
                return
            } catch {
                if error.code == .configuration { return goOnWithoutStream(error) }
                logger.debug("the change stream cannot be read yet", metadata: ["reason": "\(error)"])
                // Such a stream cannot be followed from where we are; its end can.
                if error.code == .violation { position = nil }
                try? await Task.sleep(for: Self.retryPause)
            }
        }
    }

    /// Pushes arrive all the same; what is missed while disconnected is found by comparing all programs.
    private func goOnWithoutStream(_ reason: RedisError) {
        logger.warning("core data is followed without its change stream", metadata: ["reason": "\(reason)"])
        position = nil
        topic.publish(.recheckAll)
        current.store(true, ordering: .relaxed)
    }

    private func readOn(epoch: Int) async throws(RedisError) {
        guard let start = position, start != ChangeStream.beginning else { return try await startAnew(epoch: epoch) }
        var isFull = true
        while isFull, epoch == self.epoch {
            let page = try await stream.page(after: position ?? start)
            guard epoch == self.epoch else { return }
            guard page.isContinuous else {
                logger.warning("the change stream was trimmed or replaced, comparing all programs")
                return try await startAnew(epoch: epoch)
            }
            publish(page.messages, origin: .pushed)
            position = page.end
            isFull = page.isFull
        }
    }

    /// Nothing is known of what happened before: whatever the caches hold has to be compared with Redis.
    private func startAnew(epoch: Int) async throws(RedisError) {
        let end = try await stream.end()
        guard epoch == self.epoch else { return }
        position = end
        topic.publish(.recheckAll)
    }
}

/// Every few seconds: what the stream has gained must have been pushed as well.
extension CoreDataSubscriber {
    private func beginVerification() {
        guard isCurrent, !isVerifying else { return }
        isVerifying = true
        pushesSinceVerification = 0
        let present = epoch
        Task {
            await self.verify(epoch: present)
            self.isVerifying = false
        }
    }

    private func verify(epoch: Int) async {
        var isFull = true
        while isFull, epoch == self.epoch, let start = position {
            guard let page = try? await stream.page(after: start), epoch == self.epoch else { return }
            guard page.isContinuous else {
                logger.warning("the change stream was trimmed or replaced, comparing all programs")
                do { try await startAnew(epoch: epoch) } catch { current.store(false, ordering: .relaxed) }
                if !isCurrent { Task { await self.catchUp(epoch: epoch) } }
                return
            }
            guard !page.messages.isEmpty else { return }
            guard await pushesArrived(), epoch == self.epoch else { return }
            publish(page.messages, origin: .verified)
            position = page.end
            isFull = page.isFull
        }
    }

    private func page(after start: ChangeStream.Position) async -> ChangeStream.Page? {
        do {
            return try await stream.page(after: start)
        } catch {
            // A page that is too large will be too large the next time.
            if error.code == .violation { return .init(isContinuous: false, messages: [], end: start, isFull: false) }
            return nil
        }
    }

    /// Waits until everything Redis published before now has come: what it answers on the subscription comes after it.
    private func pushesArrived() async -> Bool {
        guard let subscription, await subscription.isSubscribed else { return false }
        let limit = loop.scheduleTask(in: Self.fenceLimit) { self.assumeIsolated { $0.fence.giveUp() } }
        defer { limit.cancel() }
        return await withCheckedContinuation { raiseFence(on: subscription, $0) }
    }

    private func raiseFence(on subscription: RedisSubscription, _ continuation: CheckedContinuation<Bool, Never>) {
        let payload = fence.raise { continuation.resume(returning: $0) }
        subscription.assumeIsolated { $0.ping(payload) }
    }
}
