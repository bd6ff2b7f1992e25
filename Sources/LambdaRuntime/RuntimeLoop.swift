import Glibc
public import Logging
public import StreamSource
import Synchronization

/// One event after the other, until the process is told to end or the Runtime API is gone.
public final class RuntimeLoop<Handler: RecordHandler>: Sendable {
    private typealias Wait = Task<Result<Invocation, RuntimeAPI.Failure>, Never>

    private struct State {
        var isStopping = false
        var waiting: Wait?
    }

    private let api: RuntimeAPI
    private let function: BatchFunction<Handler>
    private let logger: Logger
    private let state = Mutex(State())

    public init(_ api: RuntimeAPI, _ function: BatchFunction<Handler>, logger: Logger) {
        self.api = api
        self.function = function
        self.logger = logger
    }

    /// Returns after ``stop()``, when the event that was being worked on is answered.
    ///
    /// - Throws: where the Runtime API gives no event.
    public func run() async throws(RuntimeAPI.Failure) {
        while let invocation = try await self.next() {
            // Variables exist already, so nothing is moved that another thread may be reading (glibc keeps old values).
            setenv("_X_AMZN_TRACE_ID", invocation.traceID, 1)
            await self.serve(invocation)
        }
    }

    /// Ends a wait for an event; an event that is there is answered first.
    public func stop() {
        let waiting = self.state.withLock { state in
            state.isStopping = true
            return state.waiting
        }
        waiting?.cancel()
    }

    private func next() async throws(RuntimeAPI.Failure) -> Invocation? {
        let waiting = self.state.withLock { (state) -> Wait? in
            guard !state.isStopping else { return nil }
            let task = Wait { [api = self.api] in
                do throws(RuntimeAPI.Failure) { return .success(try await api.next()) } catch {
                    return .failure(error)
                }
            }
            state.waiting = task
            return task
        }
        switch await waiting?.value {
        case nil: return nil
        case .success(let invocation): return invocation
        case .failure(let failure):
            if self.state.withLock({ $0.isStopping }) { return nil }
            throw failure
        }
    }

    private func serve(_ invocation: Invocation) async {
        do throws(RuntimeAPI.Failure) {
            switch await self.function.result(of: invocation) {
            case .success(let answer): try await self.api.answer(invocation, answer)
            case .failure(let error):
                self.logger.error("an invocation failed", metadata: self.metadata(invocation, "\(error)"))
                try await self.api.fail(invocation, error)
            }
        } catch {
            self.logger.error("Lambda could not be answered", metadata: self.metadata(invocation, "\(error)"))
        }
    }

    private func metadata(_ invocation: Invocation, _ cause: String) -> Logger.Metadata {
        ["request": "\(invocation.requestID)", "trace": "\(invocation.traceID)", "cause": "\(cause)"]
    }
}
