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
  const report = process.report.getReport() as unknown as {
    userLimits?: { open_files?: { soft: number | 'unlimited' } };
  };
  const soft = report.userLimits?.open_files?.soft; // not on Windows
  return typeof soft === 'number' ? soft : Number.POSITIVE_INFINITY;
}
