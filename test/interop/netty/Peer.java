// A peer made of Netty's SPDY/3.1 codec and session handler, for the interoperability tests: `Peer server` listens on a free
// port of loopback, prints it and answers every stream as its header x-do asks; `Peer client PORT BYTES` talks to a server that
// echoes, and prints what it saw as JSON.

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.spdy.*;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

public class Peer {
  static final EventLoopGroup LOOP = new NioEventLoopGroup(2);

  public static void main(String[] words) throws Exception {
    if (words[0].equals("server")) serve();
    else new Call(Integer.parseInt(words[1]), Integer.parseInt(words[2])).run();
  }

  /** Netty's own codec and session handler, and behind them what a program does with the frames. */
  static ChannelInitializer<SocketChannel> pipeline(boolean server, SimpleChannelInboundHandler<SpdyFrame> program) {
    return new ChannelInitializer<>() {
      @Override
      protected void initChannel(SocketChannel channel) {
        channel.pipeline().addLast(new SpdyFrameCodec(SpdyVersion.SPDY_3_1));
        channel.pipeline().addLast(new SpdySessionHandler(SpdyVersion.SPDY_3_1, server));
        channel.pipeline().addLast(server ? new Answers() : program);
      }
    };
  }

  static void serve() throws Exception {
    Channel listening = new ServerBootstrap().group(LOOP).channel(NioServerSocketChannel.class)
        .childHandler(pipeline(true, null)).bind("127.0.0.1", 0).sync().channel();
    System.out.println(((InetSocketAddress) listening.localAddress()).getPort());
  }

  static String header(SpdyHeadersFrame frame, String name) {
    CharSequence value = frame.headers().get(name);
    return value == null ? "" : value.toString();
  }

  static void send(Channel channel, int stream, ByteBuf bytes, boolean last) {
    SpdyDataFrame frame = new DefaultSpdyDataFrame(stream, bytes);
    frame.setLast(last);
    channel.writeAndFlush(frame);
  }

  static final class Answers extends SimpleChannelInboundHandler<SpdyFrame> {
    @Override
    protected void channelRead0(ChannelHandlerContext context, SpdyFrame frame) {
      Channel channel = context.channel();
      if (frame instanceof SpdySynStreamFrame asked) {
        String word = header(asked, "x-do");
        int id = asked.streamId();
        if (word.equals("refuse")) {
          context.writeAndFlush(new DefaultSpdyRstStreamFrame(id, SpdyStreamStatus.REFUSED_STREAM));
          return;
        }
        if (word.equals("bare")) { // Netty leaves the block of a frame without headers away
          context.write(new DefaultSpdySynReplyFrame(id));
          context.writeAndFlush(new DefaultSpdyHeadersFrame(id));
          return;
        }
        if (word.equals("ping")) context.writeAndFlush(new DefaultSpdyPingFrame(2));
        SpdySynReplyFrame reply = new DefaultSpdySynReplyFrame(id);
        reply.headers().set(":status", "200").set(":version", "HTTP/1.1");
        reply.headers().set("x-said", header(asked, "x-word")).set("x-priority", String.valueOf(asked.priority()));
        for (CharSequence value : asked.headers().getAll("x-several")) reply.headers().add("x-several", value);
        reply.setLast(asked.isLast() && !word.equals("leave"));
        context.writeAndFlush(reply);
        if (word.equals("push")) {
          SpdySynStreamFrame push = new DefaultSpdySynStreamFrame(2, id, (byte) 7);
          push.setUnidirectional(true);
          push.headers().set("x-pushed", "yes");
          context.writeAndFlush(push);
          send(channel, 2, Unpooled.copiedBuffer("pushed".getBytes()), true);
        }
        if (word.equals("leave")) context.close(); // Netty sends GOAWAY, and closes when the streams have ended
        if (word.equals("leave")) send(channel, id, Unpooled.copiedBuffer("last words".getBytes()), true);
      } else if (frame instanceof SpdyDataFrame data) {
        send(channel, data.streamId(), data.content().retain(), data.isLast());
      } else if (frame instanceof SpdyHeadersFrame more && !(frame instanceof SpdySynReplyFrame)) {
        SpdyHeadersFrame trailers = new DefaultSpdyHeadersFrame(more.streamId());
        trailers.headers().set("x-trailer", header(more, "x-more"));
        trailers.setLast(more.isLast());
        context.writeAndFlush(trailers);
      }
    }
  }

  /** One conversation of a client. */
  static final class Call extends SimpleChannelInboundHandler<SpdyFrame> {
    final int port;
    final int bytes;
    final Map<Integer, Talk> talks = new ConcurrentHashMap<>();
    final CompletableFuture<Integer> ping = new CompletableFuture<>();
    final CompletableFuture<Integer> goaway = new CompletableFuture<>();
    Channel channel;
    int next = 1;

    /** One stream of it. */
    static final class Talk {
      final MessageDigest hash = digest();
      final CompletableFuture<String> reply = new CompletableFuture<>();
      final CompletableFuture<String> end = new CompletableFuture<>();
      String trailer = "";
    }

    Call(int port, int bytes) {
      this.port = port;
      this.bytes = bytes;
    }

    static MessageDigest digest() {
      try {
        return MessageDigest.getInstance("SHA-256");
      } catch (Exception error) {
        throw new IllegalStateException(error);
      }
    }

    @Override
    protected void channelRead0(ChannelHandlerContext context, SpdyFrame frame) {
      if (frame instanceof SpdyPingFrame answer) ping.complete(answer.id());
      if (frame instanceof SpdyGoAwayFrame leaving) goaway.complete(leaving.lastGoodStreamId());
      if (!(frame instanceof SpdyStreamFrame part)) return;
      Talk talk = talks.get(part.streamId());
      if (frame instanceof SpdyRstStreamFrame reset) talk.end.complete("reset " + reset.status().code());
      if (frame instanceof SpdySynReplyFrame reply) talk.reply.complete(header(reply, "x-said"));
      else if (frame instanceof SpdyHeadersFrame more) talk.trailer = header(more, "x-trailer");
      if (frame instanceof SpdyDataFrame data) talk.hash.update(data.content().nioBuffer());
      if (part.isLast()) talk.end.complete(hex(talk.hash));
    }

    synchronized int open(Talk talk, String word, boolean last) {
      int id = next;
      next += 2;
      talks.put(id, talk);
      SpdySynStreamFrame frame = new DefaultSpdySynStreamFrame(id, 0, (byte) 3);
      frame.headers().set(":method", "POST").set(":path", "/a?b=c").set(":version", "HTTP/1.1");
      frame.headers().set(":host", "peer.example").set(":scheme", "http").set("x-do", word).set("x-word", "word");
      frame.setLast(last);
      channel.writeAndFlush(frame);
      return id;
    }

    /** Sends bytes on a stream of their own; whether the same came back. */
    boolean echo(int bytes) {
      try {
        byte[] body = new byte[bytes];
        for (int i = 0; i < bytes; i++) body[i] = (byte) (i * 31 >> 3);
        Talk talk = new Talk();
        int id = open(talk, "echo", false);
        for (int at = 0; at < bytes; at += 20000) {
          int end = Math.min(at + 20000, bytes);
          send(channel, id, Unpooled.wrappedBuffer(body, at, end - at), end == bytes);
        }
        MessageDigest hash = digest();
        hash.update(body);
        return talk.end.get(60, TimeUnit.SECONDS).equals(hex(hash));
      } catch (Exception error) {
        throw new IllegalStateException(error);
      }
    }

    static String hex(MessageDigest hash) {
      StringBuilder text = new StringBuilder();
      for (byte part : hash.digest()) text.append(String.format("%02x", part));
      return text.toString();
    }

    void run() throws Exception {
      Bootstrap bootstrap = new Bootstrap().group(LOOP).channel(NioSocketChannel.class).handler(pipeline(false, this));
      channel = bootstrap.connect("127.0.0.1", port).sync().channel();
      StringBuilder seen = new StringBuilder("{");

      channel.writeAndFlush(new DefaultSpdyPingFrame(1));
      seen.append("\"ping\":").append(ping.get(10, TimeUnit.SECONDS));

      Talk refused = new Talk();
      open(refused, "refuse", false);
      seen.append(",\"refused\":\"").append(refused.end.get(10, TimeUnit.SECONDS)).append('"');

      Talk trailed = new Talk();
      int id = open(trailed, "trailers", false);
      SpdyHeadersFrame more = new DefaultSpdyHeadersFrame(id);
      more.headers().set("x-more", "later");
      more.setLast(true);
      channel.writeAndFlush(more);
      trailed.end.get(10, TimeUnit.SECONDS);
      seen.append(",\"said\":\"").append(trailed.reply.get()).append("\",\"trailer\":\"").append(trailed.trailer).append('"');

      Talk cancelled = new Talk();
      int unwanted = open(cancelled, "cancel", false);
      cancelled.reply.get(10, TimeUnit.SECONDS);
      channel.writeAndFlush(new DefaultSpdyRstStreamFrame(unwanted, SpdyStreamStatus.CANCEL));

      Talk bare = new Talk();
      talks.put(next, bare);
      SpdySynStreamFrame empty = new DefaultSpdySynStreamFrame(next, 0, (byte) 0);
      empty.setLast(true);
      next += 2;
      channel.writeAndFlush(empty);
      bare.end.get(10, TimeUnit.SECONDS);
      seen.append(",\"bare\":\"").append(bare.reply.get()).append('"');

      seen.append(",\"bulk\":").append(echo(bytes));
      long same = IntStream.range(0, 100).mapToObj(i -> CompletableFuture.supplyAsync(() -> echo(10000 + 100 * i),
          command -> new Thread(command).start())).toList().stream().filter(CompletableFuture::join).count();
      seen.append(",\"same\":").append(same);

      open(new Talk(), "leave", true);
      seen.append(",\"goaway\":").append(goaway.get(10, TimeUnit.SECONDS));
      channel.closeFuture().get(10, TimeUnit.SECONDS);
      System.out.println(seen.append('}'));
      LOOP.shutdownGracefully(0, 0, TimeUnit.SECONDS);
    }
  }
}
