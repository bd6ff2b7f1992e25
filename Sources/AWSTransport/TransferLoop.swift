import CCurl
import Glibc
import NIOConcurrencyHelpers

/// The thread that owns the multi handle, and the queue by which others reach it.
///
/// `@unchecked Sendable`: ``running`` and ``idle`` belong to the thread; the multi handle is constant, and others call
/// only `curl_multi_wakeup` on it (which libcurl allows), under the lock and never after the end.
final class TransferLoop: @unchecked Sendable {
    private struct Intake {
        var submitted: [Transfer] = []
        var cancelled: [Transfer] = []
        /// Transfers that were submitted and have no outcome.
        var open = 0
        var isStopping = false
        var hasEnded = false
        var whenEnded: [@Sendable () -> Void] = []
    }

    private let configuration: TransportConfiguration
    private let multi: UnsafeMutableRawPointer
    private let intake = NIOLockedValueBox(Intake())

    private var waiting: [Transfer] = []
    private var running: [UnsafeMutableRawPointer: Transfer] = [:]
    private var idle: [UnsafeMutableRawPointer] = []

    /// Once in a process, before the first handle.
    private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    private init(_ configuration: TransportConfiguration, _ multi: UnsafeMutableRawPointer) {
        self.configuration = configuration
        self.multi = multi
    }

    static func start(_ configuration: TransportConfiguration) throws(TransportFailure) -> TransferLoop {
        guard Self.isReady, let multi = curl_multi_init() else {
            throw TransportFailure(.configuration, "libcurl cannot be set up.")
        }
        let loop = TransferLoop(configuration, multi)
        adtrack_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, configuration.maximumInFlight)
        guard loop.startThread() else {
            curl_multi_cleanup(multi)
            throw TransportFailure(.configuration, "The system gives no thread for requests to AWS.")
        }
        return loop
    }

    private func startThread() -> Bool {
        let context = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let result = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                // Signals are for the threads that wait for them; SIGPIPE, of a connection that is gone, for none.
                var signals = sigset_t()
                sigfillset(&signals)
                pthread_sigmask(SIG_BLOCK, &signals, nil)
                let loop = Unmanaged<TransferLoop>.fromOpaque(context).takeRetainedValue()
                // Of this thread alone (nice(2), C library/kernel differences).
                _ = nice(loop.configuration.niceness)
                loop.run()
                return nil
            },
            context.toOpaque()
        )
        guard result == 0 else {
            context.release()
            return false
        }
        pthread_detach(thread)
        return true
    }

    // MARK: - From any thread

    /// - Parameter finish: called exactly once, also from within this call.
    func submit(_ transfer: Transfer, _ finish: @escaping @Sendable (AWSAnswer) -> Void) {
        let refusal: TransportFailure? = self.intake.withLockedValue { intake in
            guard !intake.isStopping else { return .stopped(mayHaveBeenReceived: false) }
            guard transfer.intake == .new else { return .cancelled(mayHaveBeenReceived: false) }
            guard intake.open < self.configuration.maximumInFlight + self.configuration.maximumWaiting else {
                return .overloaded
            }
            transfer.intake = .submitted
            transfer.finish = finish
            intake.open += 1
            intake.submitted.append(transfer)
            curl_multi_wakeup(self.multi)
            return nil
        }
        if let refusal { finish(.failed(refusal)) }
    }

    func cancel(_ transfer: Transfer) {
        self.intake.withLockedValue { intake in
            let wasSubmitted = transfer.intake == .submitted
            transfer.intake = .cancelled
            guard wasSubmitted, !intake.hasEnded else { return }
            intake.cancelled.append(transfer)
            curl_multi_wakeup(self.multi)
        }
    }

    /// - Parameter whenEnded: called when every transfer has its outcome and the thread touches nothing any more.
    func stop(_ whenEnded: @escaping @Sendable () -> Void = {}) {
        let hasEnded = self.intake.withLockedValue { intake in
            if intake.hasEnded { return true }
            intake.isStopping = true
            intake.whenEnded.append(whenEnded)
            curl_multi_wakeup(self.multi)
            return false
        }
        if hasEnded { whenEnded() }
    }

    // MARK: - On the thread

    private func run() {
        while self.takeIntake() {
            self.startWaiting()
            var left: Int32 = 0
            curl_multi_perform(self.multi, &left)
            self.finishEnded()
            self.startWaiting()
            var events: Int32 = 0
            curl_multi_poll(self.multi, nil, 0, 1_000, &events)
        }
        self.end()
    }

    /// - Returns: false when it is time to end.
    private func takeIntake() -> Bool {
        let (submitted, cancelled, isStopping) = self.intake.withLockedValue { intake in
            defer {
                intake.submitted.removeAll(keepingCapacity: true)
                intake.cancelled.removeAll(keepingCapacity: true)
            }
            return (intake.submitted, intake.cancelled, intake.isStopping)
        }
        self.waiting += submitted
        for transfer in cancelled { self.endCancelled(transfer) }
        return !isStopping
    }

    private func startWaiting() {
        var started = 0
        while started < self.waiting.count, self.running.count < self.configuration.maximumInFlight {
            self.start(self.waiting[started])
            started += 1
        }
        self.waiting.removeFirst(started)
    }

    private func start(_ transfer: Transfer) {
        guard let handle = self.idle.popLast() ?? curl_easy_init() else {
            return self.finish(transfer, .failed(TransportFailure(.configuration, "libcurl gives no handle.")))
        }
        transfer.handle = handle
        self.running[handle] = transfer
        if let failure = transfer.configure(handle, self.configuration, now: time(nil)) {
            return self.finish(transfer, .failed(failure))
        }
        let result = curl_multi_add_handle(self.multi, handle)
        if result != CURLM_OK {
            self.finish(transfer, .failed(TransportFailure(.configuration, "libcurl takes no further transfer.")))
        }
    }

    private func finishEnded() {
        var result = CURLE_OK
        while let handle = adtrack_curl_next_ended(self.multi, &result) {
            guard let transfer = self.running[handle] else { continue }
            self.finish(transfer, transfer.outcome(result))
        }
    }

    private func endCancelled(_ transfer: Transfer) {
        if transfer.handle == nil { self.waiting.removeAll { $0 === transfer } }
        self.finish(transfer, .failed(.cancelled(mayHaveBeenReceived: transfer.mayHaveBeenReceived)))
    }

    /// Tells the outcome, once, and keeps the handle (without options) for another transfer.
    private func finish(_ transfer: Transfer, _ answer: AWSAnswer) {
        if let handle = transfer.handle {
            curl_multi_remove_handle(self.multi, handle)
            curl_easy_reset(handle)
            transfer.handle = nil
            self.running[handle] = nil
            self.idle.append(handle)
        }
        let finish = self.intake.withLockedValue { intake -> (@Sendable (AWSAnswer) -> Void)? in
            defer { transfer.finish = nil }
            if transfer.finish != nil { intake.open -= 1 }
            return transfer.finish
        }
        finish?(answer)
    }

    private func end() {
        for transfer in self.waiting + Array(self.running.values) {
            self.finish(transfer, .failed(.stopped(mayHaveBeenReceived: transfer.mayHaveBeenReceived)))
        }
        self.waiting.removeAll()
        for handle in self.idle { curl_easy_cleanup(handle) }
        let whenEnded = self.intake.withLockedValue { intake in
            intake.hasEnded = true
            curl_multi_cleanup(self.multi)
            return intake.whenEnded
        }
        for call in whenEnded { call() }
    }
}
