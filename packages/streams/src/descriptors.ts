/** Descriptors that Node itself, standard streams and lookups need. */
const RESERVED = 32;

let half: number | undefined;

/**
 * Half of the descriptors that this process may open beside a reserve: one half is for connections that come in, one for what they cause.
 * Beyond that, opening anything would fail for everybody, and not for those who have the most.
 */
export function halfOfDescriptors(): number {
  half ??= Math.max(1, Math.floor((limit() - RESERVED) / 2));
  return half;
}

/** The system's limit on open files. Node raises its own to what the system allows when it starts. */
function limit(): number {
  const reporter = process.report as unknown as Reporter;
  const before = reporter.excludeNetwork;
  reporter.excludeNetwork = true; // else it looks up the names of all peers, and waits for them
  try {
    const soft = reporter.getReport().userLimits?.open_files?.soft; // not on Windows
    return typeof soft === 'number' ? soft : Number.POSITIVE_INFINITY;
  } finally {
    reporter.excludeNetwork = before;
  }
}

/** What the types of Node leave open. */
interface Reporter {
  excludeNetwork: boolean;
  getReport(): { readonly userLimits?: { readonly open_files?: { readonly soft: number | 'unlimited' } } };
}
