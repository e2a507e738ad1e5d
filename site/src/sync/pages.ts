// Lists that come page by page, and keep what they show while other filters are asked for.

interface Pages {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  isFetchNextPageError: boolean;
  isPlaceholderData: boolean;
  error: unknown;
  fetchNextPage: () => unknown;
}

/** The end of such a list; of what is shown meanwhile nobody knows whether there is more. */
export function moreOf(pages: Pages) {
  return {
    hasMore: pages.hasNextPage || pages.isPlaceholderData,
    isLoading: pages.isFetchingNextPage || pages.isPlaceholderData,
    onLoad: () => void pages.fetchNextPage(),
    error: pages.isFetchNextPageError ? pages.error : undefined,
  };
}

/** Why what is shown could not be asked for again. */
export function errorBehind(pages: Pages & { data: unknown }): unknown {
  return pages.data !== undefined && !pages.isFetchNextPageError ? pages.error : undefined;
}
