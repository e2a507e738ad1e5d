// Which rows of a long table are drawn: those in the window, and some around it.

import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type Ref, useEffect, useRef, useState } from "react";

/** So many rows beyond the window's edges, so that scrolling shows no gap. */
const N_BEYOND = 12;

interface VirtualRows {
  bodyRef: Ref<HTMLTableSectionElement>;
  rowRef: (row: HTMLTableRowElement | null) => void;
  /** The first row that is drawn, and the one after the last. */
  first: number;
  end: number;
  /** How much room the others take. */
  above: number;
  below: number;
}

export function useVirtualRows(nRows: number, rowHeight: number): VirtualRows {
  const bodyRef = useRef<HTMLTableSectionElement>(null);
  const top = useTop(bodyRef);
  const virtualizer = useWindowVirtualizer<HTMLTableRowElement>({
    count: nRows,
    estimateSize: () => rowHeight,
    overscan: N_BEYOND,
    scrollMargin: top,
    useFlushSync: false,
  });
  const items = virtualizer.getVirtualItems();
  const first = items.at(0);
  const last = items.at(-1);
  return {
    bodyRef,
    rowRef: virtualizer.measureElement,
    first: first?.index ?? 0,
    end: last ? last.index + 1 : 0,
    above: first ? first.start - top : 0,
    below: virtualizer.getTotalSize() - (last ? last.end - top : 0),
  };
}

/** How far an element is from the top of the page; what stands above it may grow. */
function useTop(ref: { current: HTMLElement | null }): number {
  const [top, setTop] = useState(0);
  useEffect(() => {
    const measure = () => {
      const element = ref.current;
      if (element) setTop(Math.round(element.getBoundingClientRect().top + window.scrollY));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(document.body);
    return () => observer.disconnect();
  }, [ref]);
  return top;
}
