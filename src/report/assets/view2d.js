// The cloud from above on a plain canvas, for browsers without WebGL. High points are drawn last.
rarefy.view2d = function (canvas, cloud) {
  'use strict';
  var context = canvas.getContext('2d'), size = 1, width = 0, height = 0, ratio = 1, last = null;
  var order = new Uint32Array(cloud.count);
  for (var i = 0; i < cloud.count; ++i) order[i] = i;
  order.sort(function (a, b) { return cloud.xyz[3 * a + 2] - cloud.xyz[3 * b + 2]; });
  var ground = getComputedStyle(canvas.parentNode).backgroundColor.match(/\d+/g).map(Number);
  return {
    name: '2d',
    color: function () {},
    size: function (value) { size = value; },
    // x (forward) points up, y (left) to the left.
    project: function (place) {
      return last && [width / 2 - (place[1] - last.target[1]) / last.unit, height / 2 - (place[0] - last.target[0]) / last.unit];
    },
    draw: function (orbit) {
      var box = canvas.parentNode;
      ratio = Math.min(2, window.devicePixelRatio || 1);
      width = box.clientWidth; height = box.clientHeight;
      var w = Math.round(width * ratio), h = Math.round(height * ratio);
      if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
      var image = context.createImageData(w, h), data = new Uint32Array(image.data.buffer);
      var colors = new Uint32Array(cloud.color.buffer);
      data.fill((255 << 24) | (ground[2] << 16) | (ground[1] << 8) | ground[0]);
      last = { target: orbit.target.slice(), unit: orbit.pixel() };
      var scale = ratio / last.unit * cloud.step, cx = w / 2 + last.target[1] * ratio / last.unit, cy = h / 2 + last.target[0] * ratio / last.unit;
      var side = Math.max(1, Math.min(6, Math.round(size * ratio * (0.6 + 0.05 / last.unit))));
      for (var n = 0; n < order.length; ++n) {
        var p = order[n], tint = colors[p];
        if ((tint >>> 24) === 0) continue;
        var x = Math.round(cx - cloud.xyz[3 * p + 1] * scale), y = Math.round(cy - cloud.xyz[3 * p] * scale);
        if (x < 0 || y < 0 || x + side > w || y + side > h) continue;
        for (var v = 0; v < side; ++v) for (var u = 0; u < side; ++u) data[(y + v) * w + x + u] = tint;
      }
      context.putImageData(image, 0, 0);
    }
  };
};
