import FoundationEssentials
import StreamSource
public import TrackingModel

/// A record of a stream of core data: a program to write, or one to delete.
public enum ProgramUpdate: Sendable, Equatable {
    case put(Program)
    /// Without a version it deletes whatever version there is.
    case delete(ProgramID, version: Int64?)

    /// A program as JSON, ours or the replaced system's, or `{"programId": "…", "version": 8, "deleted": true}`.
    ///
    /// The record is judged whole: one field that breaks a rule, and nothing of it counts.
    init(json: [UInt8]) throws(Damage) {
        guard (1...ProgramStore.maximumProgramBytes).contains(json.count) else {
            throw Damage(.invalidProgram, "The record is larger than \(ProgramStore.maximumProgramBytes) bytes.")
        }
        do {
            switch try CoreDataMessage(json: Data(json)) {
            case .program(let program): self = .put(program)
            case .deleted(let id, let version): self = .delete(id, version: version)
            }
        } catch let fault as MalformedProgram {
            throw Damage(.invalidProgram, "\(fault)")
        } catch {
            throw Damage(.undecodable, "The record is no JSON object of a program, or a field has another type.")
        }
    }
}
