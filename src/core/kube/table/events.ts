import type { Event as CoreEvent, ObjectReference } from "kubernetes-types/core/v1";
import type { Event } from "kubernetes-types/events/v1";
import { humanAge } from "../duration.ts";
import { CORE_EVENTS, EVENTS } from "../resources.ts";
import { type Cell, column, NAME, nameOf, type PrinterEntry, printerFor, type TableColumn, wide } from "./printer.ts";

const COLUMNS: readonly TableColumn[] = [
  column("Last Seen", "Time since it happened last."),
  column("Type", "Normal or Warning."),
  column("Reason", "What happened, in a word."),
  column("Object", "What it happened to."),
  wide("Subobject", "Which part of that object."),
  wide("Source", "Who reported it."),
  column("Message", "What happened, for a person."),
  wide("First Seen", "Time since it happened first."),
  wide("Count", "How often it happened."),
  { ...NAME, priority: 1 },
];

/** An event of either API, by what both call differently. */
interface Seen {
  readonly event: CoreEvent | Event;
  readonly first: string | undefined;
  readonly last: string | undefined;
  readonly count: number | undefined;
  readonly about: ObjectReference | undefined;
  readonly reporter: readonly [component: string | undefined, instance: string | undefined];
  readonly message: string | undefined;
}

export const EVENT_PRINTERS: readonly PrinterEntry[] = [
  printerFor(CORE_EVENTS, {
    columns: COLUMNS,
    cells: (event, now) =>
      eventCells(
        {
          event,
          first: event.firstTimestamp,
          last: event.lastTimestamp,
          count: event.count,
          about: event.involvedObject,
          reporter: [event.source?.component || event.reportingComponent, event.source?.host || event.reportingInstance],
          message: event.message,
        },
        now,
      ),
  }),
  printerFor(EVENTS, {
    columns: COLUMNS,
    cells: (event, now) =>
      eventCells(
        {
          event,
          first: event.deprecatedFirstTimestamp,
          last: event.deprecatedLastTimestamp,
          count: event.deprecatedCount,
          about: event.regarding,
          reporter: [
            event.deprecatedSource?.component || event.reportingController,
            event.deprecatedSource?.host || event.reportingInstance,
          ],
          message: event.note,
        },
        now,
      ),
  }),
];

function eventCells(seen: Seen, now: number): Cell[] {
  const { event, about } = seen;
  const first = seen.first ?? event.eventTime;
  const last = event.series?.lastObservedTime ?? seen.last ?? first;
  const count = event.series?.count ?? seen.count ?? 0;
  const kind = (about?.kind ?? "").toLowerCase();
  return [
    humanAge(last, now),
    event.type ?? "",
    event.reason ?? "",
    (about?.name ?? "") === "" ? kind : `${kind}/${about?.name}`,
    about?.fieldPath ?? "",
    seen.reporter.filter((part) => part !== undefined && part !== "").join(", "),
    (seen.message ?? "").trim(),
    humanAge(first, now),
    count === 0 ? 1 : count,
    nameOf(event),
  ];
}
